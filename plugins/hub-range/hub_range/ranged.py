"""Heads whose scores are kept in a range: a bound, or a factor."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hub_core.batch import Batch, Encoded
from hub_core.model import Wrapper
from hub_range.options import LARGEST_FACTOR


def bounded(scores: Tensor, bound: float | Tensor) -> Tensor:
    """Return c tanh(z / c): nearly z where |z| is small, never more than c, in the same order.

    Args:
        scores: Scores z of any shape.
        bound: c; infinity leaves the scores as they are.
    """
    return scores if math.isinf(float(bound)) else bound * torch.tanh(scores / bound)


class Ranged(Wrapper):
    """A head whose scores are shaped, then divided by a temperature.

    Attributes:
        value: The bound or the factor, a scalar.
        temperature: A scalar, 1 until it is calibrated.
    """

    value: Tensor
    temperature: Tensor

    def __init__(self, base_layer: nn.Module, value: float) -> None:
        super().__init__(base_layer)
        self.register_buffer("temperature", torch.tensor(1.0))
        self.hold(value)

    def hold(self, value: float) -> None:
        """Register the range."""
        self.register_buffer("value", torch.tensor(value))

    def put(self, value: float) -> None:
        """Give the range another value."""
        with torch.no_grad():
            self.value.fill_(value)

    def number(self) -> float:
        """Return the bound or the factor."""
        return float(self.value)

    def plain(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return the head's own scores, (B, C)."""
        scores: Tensor = self.base_layer(encoded, batch)
        return scores

    def shaped(self, scores: Tensor) -> Tensor:
        """Return plain scores in the range."""
        raise NotImplementedError

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return the scores that are judged and served, (B, C)."""
        return self.shaped(self.plain(encoded, batch)) / self.temperature


class Bounded(Ranged):
    """The scores are bounded (the soft cap of Gemma 2, 2024)."""

    def shaped(self, scores: Tensor) -> Tensor:
        """Return c tanh(z / c)."""
        return bounded(scores, self.value)


class Scaled(Ranged):
    """The scores are multiplied."""

    def shaped(self, scores: Tensor) -> Tensor:
        """Return s z."""
        return scores * self.value


class Learned(Ranged):
    """The scores are multiplied by a learned factor, as in CLIP (Radford et al., 2021)."""

    def hold(self, value: float) -> None:
        """Register the factor's logarithm, which learns."""
        self.tau = nn.Parameter(torch.tensor([math.log(value)]))  # optimizers expect a dimension

    def put(self, value: float) -> None:
        """Give the factor another value."""
        with torch.no_grad():
            self.tau.fill_(math.log(value))

    def number(self) -> float:
        """Return the factor."""
        return float(self.tau.detach().exp())

    def clamp(self) -> None:
        """Keep the factor at 100 or less."""
        with torch.no_grad():
            self.tau.clamp_(max=math.log(LARGEST_FACTOR))

    def shaped(self, scores: Tensor) -> Tensor:
        """Return z exp(tau)."""
        return scores * self.tau.exp()


KINDS: dict[str, type[Ranged]] = {"bounded": Bounded, "scheduled": Scaled, "learned": Learned}
