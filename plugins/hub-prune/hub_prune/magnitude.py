"""Magnitude pruning: the weights with the smallest absolute values become zero (Han et al. 2015).

What a mask saves is reported as sparsity; the stored file stays dense.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hub_core.model import TaskModel
from hub_core.part import Context, Part


class PruneMagnitude(Part):
    """One-shot pruning after training; the thresholds are the state that loading replays."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._thresholds: dict[str, float] = {}
        self._sparsity = 0.0

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Bake every linear layer, then zero what lies at or below its threshold."""
        linears = {path: model.bake(path) for path, _ in list(model.linears())}
        if not ctx.restoring:
            self._thresholds = self._choose({p: m.weight for p, m in linears.items()})
        zeros = 0
        for path, linear in linears.items():
            linear.weight.mul_(linear.weight.abs() > self._thresholds[path])
            zeros += int((linear.weight == 0).sum())
        self._sparsity = zeros / sum(linear.weight.numel() for linear in linears.values())

    def _choose(self, weights: Mapping[str, nn.Parameter]) -> dict[str, float]:
        sparsity = self.options.sparsity
        if self.options.scope == "layer":
            return {path: _threshold(weight, sparsity) for path, weight in weights.items()}
        everything = torch.cat([weight.flatten() for weight in weights.values()])
        return dict.fromkeys(weights, _threshold(everything, sparsity))

    def report(self, model: TaskModel) -> dict[str, float]:
        """Return the share of zeros in the pruned layers, in [0, 1]."""
        return {"sparsity": self._sparsity}

    def state_dict(self) -> dict[str, Any]:
        """Return the thresholds."""
        return {"thresholds": dict(self._thresholds)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the thresholds back."""
        self._thresholds = dict(state["thresholds"])


def _threshold(weights: Tensor, sparsity: float) -> float:
    """Return the largest absolute value among the share of weights that goes, or -1 for none."""
    count = round(sparsity * weights.numel())
    if count == 0:
        return -1.0
    return float(weights.detach().abs().flatten().kthvalue(count).values)
