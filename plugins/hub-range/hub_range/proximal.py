"""Proximal steps for an L1 penalty: after a gradient step, w ← S(w) with threshold rate · lambda.

This is iterative shrinkage (Beck and Teboulle, 2009, equation 1.4) after each step of whatever
optimizer there is; weights become zero exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from hub_core.model import TaskModel


def matrices(model: TaskModel, target: str) -> list[nn.Parameter]:
    """Return the matrices that train now: of the heads, or of all the model; no vectors."""
    owner: nn.Module = model.heads if target == "head" else model
    return [p for p in owner.parameters() if p.dim() > 1 and p.requires_grad]


@torch.no_grad()
def shrink(parameters: Sequence[nn.Parameter], amount: float) -> None:
    """Move in place by ``amount`` towards zero, and not beyond, what the last step changed."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.copy_(parameter.sign() * (parameter.abs() - amount).relu())


def zeros_in(parameters: Sequence[nn.Parameter]) -> float:
    """Return the share of weights that are exactly zero."""
    zeros = sum(int((parameter == 0).sum()) for parameter in parameters)
    return zeros / max(1, sum(parameter.numel() for parameter in parameters))
