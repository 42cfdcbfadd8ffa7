"""Soft thresholds: S(x) = sign(x) max(|x| - lambda, 0), with a lambda that learns.

S solves min over u of (u - x)^2 / 2 + lambda |u| (Donoho, 1995); as a layer of a network it is
from Zhao et al. (2020), here with a parameter for each channel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_core.model import Wrapper

SMALLEST = 1e-4
"""Least first threshold, so that a channel that is always zero has a gradient."""


def soft_threshold(values: Tensor, threshold: Tensor) -> Tensor:
    """Return sign(x) max(|x| - lambda, 0).

    Args:
        values: x, (…, C).
        threshold: lambda, (C,) or a scalar, not negative.
    """
    return values.sign() * (values.abs() - threshold).relu()


class Threshold(nn.Module):
    """A threshold per channel, softplus of a parameter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.empty(channels))
        self.begin(torch.full((channels,), SMALLEST))

    def begin(self, thresholds: Tensor) -> None:
        """Start from given thresholds, (C,)."""
        with torch.no_grad():
            self.raw.copy_(thresholds.double().clamp_min(SMALLEST).expm1().log())

    def forward(self, values: Tensor) -> Tensor:
        """Return the values (…, C) after thresholding, in their type."""
        return soft_threshold(values, F.softplus(self.raw).to(values.dtype))


class Thresholded(Wrapper):
    """A linear layer whose inputs or outputs are thresholded."""

    def __init__(self, base_layer: nn.Module, channels: int, *, before: bool) -> None:
        super().__init__(base_layer)
        self.threshold, self.before = Threshold(channels), before

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the layer gives."""
        result: Tensor = (
            self.base_layer(self.threshold(inputs))
            if self.before
            else self.threshold(self.base_layer(inputs))
        )
        return result
