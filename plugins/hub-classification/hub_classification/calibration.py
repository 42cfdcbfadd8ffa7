"""How far the probability of what is predicted and the share of right predictions are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

BINS = 15


def calibration_error(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Return the expected calibration error (Guo et al., 2017, equation 3), in [0, 1].

    Predictions are put into 15 bins of equal width by their probability; each bin's mean
    probability and share of right predictions differ, and the mean of that, weighted by the bins'
    sizes, is the error. Bins are open below and closed above.

    Args:
        probabilities: The probability of each predicted label.
        right: Whether it was right.
    """
    gaps = [0.0] * BINS
    for probability, correct in zip(probabilities, right, strict=True):
        gaps[max(0, math.ceil(probability * BINS) - 1)] += probability - correct
    return sum(map(abs, gaps)) / max(1, len(probabilities))
