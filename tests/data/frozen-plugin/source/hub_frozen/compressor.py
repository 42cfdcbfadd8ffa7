"""A compressor that decides by data, masks by a parametrization, and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hub_core.model import TaskModel
from hub_core.part import Context, Part


class Mask(nn.Module):
    """A mask on a weight."""

    frozen_mask: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        mask = weight.abs() > weight.abs().flatten().median()
        self.register_buffer("frozen_mask", mask.to(weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the masked weight."""
        return weight * self.frozen_mask


class FrozenMask(Part):
    """The smaller half of every linear layer's weights is zero."""

    changes_body: ClassVar = True

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._shape: list[int] = []

    def reshape(self, model: TaskModel, ctx: Context) -> None:
        """Note how wide the layers are."""
        if not ctx.restoring:
            self._shape = [linear.out_features for _, linear in model.linears()]

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Put a mask on every weight."""
        for path, linear in model.linears():
            parametrize.register_parametrization(linear, "weight", Mask(linear.weight))
            ctx.log(path, float(linear.weight.detach().abs().sum()))

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Fold the masks in."""
        for path, _ in list(model.linears()):
            model.bake(path)

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return the share of zeros."""
        weights = torch.cat([linear.weight.flatten() for _, linear in model.linears()])
        return {"zeros": float((weights == 0).float().mean())}

    def state_dict(self) -> dict[str, Any]:
        """Return the widths."""
        return {"shape": self._shape}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._shape = state["shape"]
