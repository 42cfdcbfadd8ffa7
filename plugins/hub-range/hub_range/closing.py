"""What is decided of a range when training is over, by its scores on the validation data."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hub_range.calibration import Judged, judge, temperature_for
from hub_range.measured import Measured


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A temperature, and how scores do: the plain ones, and those that are served."""

    temperature: float
    before: Judged
    after: Judged

    def figures(self) -> dict[str, float]:
        """Return what is reported."""
        fitted = {} if self.temperature == 1 else {"temperature": self.temperature}
        return {
            **fitted,
            "calibration_error_before": self.before.calibration_error,
            "calibration_error_after": self.after.calibration_error,
            "accuracy_change": self.after.accuracy - self.before.accuracy,
        }


def calibrated(plain: Tensor, served: Tensor, targets: Tensor, *, fit: bool) -> Calibrated:
    """Fit the temperature, and compare with the plain scores of the same weights.

    Args:
        plain: Scores without bound and factor, (N, C).
        served: Scores with them, (N, C).
        targets: Numbers of the right labels, (N,).
        fit: Whether a temperature is wanted.
    """
    temperature = temperature_for(served, targets) if fit else 1.0
    return Calibrated(temperature, judge(plain, targets), judge(served / temperature, targets))


def only_harms(bound: float, start: float, found: Measured) -> bool:
    """Return whether the first bound is still the best, binds, and costs validation loss."""
    binds = float(found.plain.abs().max()) > bound
    return bound == start and binds and found.plain_loss < found.served_loss


def removal(metric: str, bound: float, found: Measured) -> str:
    """Return the sentence that tells of a bound that was taken away.

    Args:
        metric: Task and metric, such as ``main.accuracy``.
        bound: The bound.
        found: What it costs.
    """
    task, _, name = metric.partition(".")
    return (
        f"task {task}: no growth of the bound {bound:.4g} improved {name}, and without a bound "
        f"the validation loss is {found.plain_loss:.4f} instead of {found.served_loss:.4f}, so "
        "the scores are served without one"
    )
