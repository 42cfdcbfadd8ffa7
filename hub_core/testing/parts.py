"""The suites of tuning strategies and of compressors."""

from __future__ import annotations

from typing import Any, ClassVar

from hub_core.testing.checks import choosing, finishing, placing
from hub_core.testing.suite import Figures, Suite


class PartTests(Suite, kind="strategy"):
    """What strategies and compressors have in common."""

    def test_one_vector_for_every_position(self, case: str) -> None:
        """Whatever is added, heads see one vector for each input position."""
        with self.trial(case) as trial:
            choosing.one_vector(trial)

    def test_unselected_parameters_keep_their_bits(self, case: str) -> None:
        """What select never names stays the checkpoint's."""
        with self.trial(case) as trial:
            choosing.unselected(trial)

    def test_choosing_depends_on_the_clock_alone(self, case: str) -> None:
        """The functions select, learning_rate and schedule are pure."""
        with self.trial(case) as trial:
            choosing.pure(trial)

    def test_state_makes_the_same_model(self, case: str) -> None:
        """State and trained tensors are all that the served model is made of."""
        with self.trial(case) as trial:
            finishing.closes(trial)

    def test_finalize_leaves_plain_modules(self, case: str) -> None:
        """No parametrization, no hook, no tensor of a special kind is left."""
        with self.trial(case) as trial:
            finishing.plain(trial)

    def test_it_moves_with_the_model(self, case: str) -> None:
        """On another device nothing stays behind."""
        with self.trial(case) as trial:
            placing.moves(trial)


class StrategyTests(PartTests, kind="strategy"):
    """What every tuning strategy keeps."""

    def test_finalize_keeps_the_outputs(self, case: str) -> None:
        """What was trained is what is served."""
        with self.trial(case) as trial:
            finishing.keeps_outputs(trial)

    def test_folding_it_in_keeps_the_outputs(self, case: str) -> None:
        """What can be folded into linear layers is folded in exactly."""
        with self.trial(case) as trial:
            finishing.bakes(trial)


class CompressorTests(PartTests, kind="compressor"):
    """What every compressor keeps.

    Attributes:
        tolerance: By how much it may change the outputs, as a share of their scale.
        figures: Name of a figure that it reports to a function that measures it on the model.
    """

    tolerance: ClassVar[float] = 0.1
    figures: ClassVar[Figures] = {}

    @classmethod
    def _terms(cls) -> dict[str, Any]:
        return {**super()._terms(), "tolerance": cls.tolerance, "figures": cls.figures}

    def test_outputs_stay_within_the_tolerance(self, case: str) -> None:
        """It changes the outputs by no more than it says."""
        with self.trial(case) as trial:
            finishing.within_tolerance(trial)

    def test_reported_figures_are_true(self, case: str) -> None:
        """Bytes and other figures are those of the finished model."""
        with self.trial(case) as trial:
            finishing.true_figures(trial)
