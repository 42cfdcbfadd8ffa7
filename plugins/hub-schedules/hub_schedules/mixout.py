"""Mixout: in every forward pass some weights are the pre-trained ones (Lee et al., 2020).

    W' = ((1 - M) * U + M * W - p U) / (1 - p),     M ~ Bernoulli(1 - p)    (equation 5)

with U as it was pre-trained; its mean is W. This is U + dropout(W - U), so the gradient of W is
that of W' times M / (1 - p).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from hub_core.model import TaskModel
from hub_core.part import Chosen, Context
from hub_schedules.pretrained import OnPretrained


class Mix(nn.Module):
    """The parametrization W -> W', while W trains.

    Args:
        start: U.
        p: The share of U.
    """

    start: Tensor

    def __init__(self, start: Tensor, p: float) -> None:
        super().__init__()
        self.p = p
        self.register_buffer("start", start, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the mixed weight, (out, in)."""
        if not (self.training and weight.requires_grad and torch.is_grad_enabled()):
            return weight
        return self.start + F.dropout(weight - self.start, self.p)


class Mixout(OnPretrained):
    """Every linear layer's weight is mixed with what it was when training was prepared."""

    name: ClassVar = "mixout"
    acts_on: ClassVar = "weights of linear layers"

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._mixed: list[tuple[nn.Linear, Mix]] = []

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Put a parametrization on every linear layer of the layers."""
        for _, linear in model.linears():
            start = linear.weight.detach()
            mix = Mix(start if ctx.restoring else start.clone(), self.options.p)
            # in eval mode, as now, it gives what it was given: nothing to check
            parametrize.register_parametrization(linear, "weight", mix, unsafe=True)
            self._mixed.append((linear, mix))

    def reach(self, model: TaskModel) -> Chosen:
        """Return the weights of the linear layers."""
        stacks: list[Any] = [linear.parametrizations["weight"] for linear, _ in self._mixed]  # type: ignore[index]
        return frozenset(stack.original for stack in stacks)

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Leave the weights as they are, where a part before has not done so."""
        for linear, mix in self._mixed:
            stack = getattr(linear, "parametrizations", {})
            if "weight" in stack and mix in [*stack["weight"]]:
                parametrize.remove_parametrizations(linear, "weight")
