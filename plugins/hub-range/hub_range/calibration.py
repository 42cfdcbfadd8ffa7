"""How far confidence and accuracy are apart, and the temperature that brings them together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BINS = 15
HOTTEST = 20.0


@dataclass(frozen=True, slots=True)
class Judged:
    """How scores do against labels: rates in [0, 1]."""

    accuracy: float
    calibration_error: float


def judge(scores: Tensor, targets: Tensor) -> Judged:
    """Return accuracy and expected calibration error (Guo et al., 2017, equation 3).

    Args:
        scores: (N, C).
        targets: Numbers of the right labels, (N,).
    """
    confidence, guess = scores.double().softmax(1).max(1)
    right = (guess == targets).double()
    # bins are open below and closed above, as in the paper
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    gaps = torch.zeros(BINS, dtype=torch.double).index_add(0, bins, confidence - right)
    return Judged(float(right.mean()), float(gaps.abs().sum() / len(targets)))


def temperature_for(scores: Tensor, targets: Tensor) -> float:
    """Return the T in (0.05, 20) with the least NLL of softmax(z / T) (Guo et al., 2017, 4.2).

    It is found as log T = log 20 tanh(u), which has no flat ends in which a search could stop.

    Args:
        scores: (N, C).
        targets: Numbers of the right labels, (N,).
    """
    scores = scores.detach().double()
    u = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([u], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(scores / _temperature(u), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(_temperature(u.detach()))


def _temperature(u: Tensor) -> Tensor:
    return (math.log(HOTTEST) * u.tanh()).exp()
