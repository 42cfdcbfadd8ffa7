"""Toy strategies: everything trains, a vector beside linear layers trains, layers thaw."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hub_core.declare import Clock
from hub_core.model import TaskModel, Wrapper
from hub_core.part import Chosen, Context, Part, created


class Open(Part):
    """Everything trains."""

    learning_rate_hint: ClassVar = 3e-3

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add all parameters."""
        return frozenset(model.parameters())


class Shifted(Wrapper):
    """A linear layer and a trained vector that is added to what it gives."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        outputs: int = self.out_features  # the linear layer's, whatever lies between
        self.shift = nn.Parameter(0.01 * torch.randn(outputs))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., out) for (..., in)."""
        given: Tensor = self.base_layer(hidden)
        return given + self.shift.to(given.dtype)

    def fold(self, linear: nn.Linear) -> None:
        """Add the vector to the bias."""
        linear.bias.add_(self.shift)


class Beside(Part):
    """A vector beside every linear layer that leads upwards."""

    learning_rate_hint: ClassVar = 1e-2

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._added: Chosen = frozenset()

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Wrap the layers; one without a bias could not be folded, so it is left alone."""
        before = frozenset(model.parameters())
        for path, linear in list(model.linears("up")):
            if linear.bias is not None:
                model.wrap(path, Shifted)
        self._added = created(before, model)

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the vectors."""
        return chosen | self._added


class Thaw(Part):
    """The highest layer trains from the start, the others follow."""

    learning_rate_hint: ClassVar = 3e-3

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the layers whose time has come."""
        thawed = 1 + int(clock.progress * len(model.layers()))
        return chosen.union(*(layer.parameters() for layer in model.layers()[-thawed:]))

    def schedule(self, clock: Clock) -> float:
        """Let the rate fall by half."""
        return 1 - clock.progress / 2
