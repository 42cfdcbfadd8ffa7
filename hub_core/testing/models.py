"""The suites of heads and of backbones."""

from __future__ import annotations

from hub_core.testing.checks import embodying, placing, reading
from hub_core.testing.suite import Suite


class HeadTests(Suite, kind="head"):
    """What every head keeps."""

    def test_every_example_has_its_rows(self, case: str) -> None:
        """Rows come in order, depend on their own example alone, and can be stored."""
        with self.trial(case) as trial:
            reading.makes_rows(trial)

    def test_every_row_has_its_own_loss(self, case: str) -> None:
        """Batches, scores and losses have one place for every row."""
        with self.trial(case) as trial:
            reading.batches(trial)

    def test_every_example_has_its_prediction(self, case: str) -> None:
        """Predictions are plain data in order, metrics are numbers."""
        with self.trial(case) as trial:
            reading.predicts(trial)

    def test_bad_data_are_refused_in_words(self, case: str) -> None:
        """Missing columns and values, and data with nothing to tell apart, never crash."""
        with self.trial(case) as trial:
            reading.refuses(trial)

    def test_growing_keeps_the_old_labels(self, case: str) -> None:
        """With more labels, the scores of the old ones stay the same."""
        with self.trial(case) as trial:
            reading.grows(trial)

    def test_it_moves_with_the_model(self, case: str) -> None:
        """On another device nothing stays behind."""
        with self.trial(case) as trial:
            placing.moves(trial)


class BackboneTests(Suite, kind="backbone"):
    """What every backbone keeps."""

    def test_identity_tells_models_apart(self, case: str) -> None:
        """The same model has the same identity, and another is refused."""
        with self.trial(case) as trial:
            embodying.is_someone(trial)

    def test_planning_reads_no_weights(self, case: str) -> None:
        """Its tags are known before anything is loaded."""
        with self.trial(case) as trial:
            embodying.plans(trial)

    def test_the_layout_is_where_things_are(self, case: str) -> None:
        """Layers, linear layers and embeddings are where it says."""
        with self.trial(case) as trial:
            embodying.is_laid_out(trial)

    def test_texts_are_read_alike_in_any_company(self, case: str) -> None:
        """Tokens, padding and vectors of a text do not depend on what stands beside it."""
        with self.trial(case) as trial:
            embodying.reads(trial)

    def test_the_empty_architecture_is_the_same(self, case: str) -> None:
        """What an artifact holds of it is enough to build it."""
        with self.trial(case) as trial:
            embodying.comes_empty(trial)

    def test_generating_gives_what_was_asked_for(self, case: str) -> None:
        """With the tag generates, so many tokens come."""
        with self.trial(case) as trial:
            embodying.generates(trial)

    def test_it_moves_with_the_model(self, case: str) -> None:
        """On another device nothing stays behind."""
        with self.trial(case) as trial:
            placing.moves(trial)
