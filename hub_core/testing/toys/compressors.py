"""Toy compressors: one acts before training, one during it, and one after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from hub_core.declare import Clock
from hub_core.model import TaskModel
from hub_core.part import Context, Part


class Cut(Part):
    """The half of the feed-forward channels with the smallest weights goes before training."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._kept: list[list[int]] = []

    def reshape(self, model: TaskModel, ctx: Context) -> None:
        """Cut where it was decided to, or decide."""
        pairs = _pairs(model)
        if not ctx.restoring and not self._kept:
            self._kept = [
                up.weight.norm(dim=1).topk(up.out_features // 2).indices.sort().values.tolist()
                for up, _ in pairs
            ]
        for kept, (up, down) in zip(self._kept, pairs, strict=True):
            index = torch.tensor(kept)
            for parameter, dimension in ((up.weight, 0), (up.bias, 0), (down.weight, 1)):
                if parameter is not None:
                    parameter.data = parameter.data.index_select(dimension, index)
            up.out_features = down.in_features = len(kept)

    def state_dict(self) -> dict[str, Any]:
        """Return which channels stay."""
        return {"kept": self._kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._kept = state["kept"]


def _pairs(model: TaskModel) -> list[tuple[nn.Linear, nn.Linear]]:
    """Return the feed-forward pairs that lie back to back; gated ones do not."""
    ups, downs = dict(model.linears("up")), dict(model.linears("down"))
    pairs = list(zip(ups.values(), downs.values(), strict=False))
    return [(up, down) for up, down in pairs if up.out_features == down.in_features]


class Keep(nn.Module):
    """A mask on a weight."""

    mask: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the masked weight."""
        return weight * self.mask


class Mask(Part):
    """Up to half of the weights that lead upwards are masked while training goes on."""

    changes_body: ClassVar = True

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._masks: list[tuple[nn.Linear, Keep]] = []

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Put a mask on every weight."""
        for _, linear in model.linears("up"):
            keep = Keep(linear.weight)
            parametrize.register_parametrization(linear, "weight", keep)
            self._masks.append((linear, keep))

    @torch.no_grad()
    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Mask the smallest weights, more of them every time."""
        for linear, keep in self._masks:
            keep.mask.fill_(1)
            weight = linear.weight.abs()
            count = round(0.5 * (clock.step + 1) / clock.steps * weight.numel())
            if count:
                keep.mask.copy_(weight > weight.flatten().kthvalue(count).values)

    def servable(self, model: TaskModel, clock: Clock) -> bool:
        """Say that only the last model has all its masks."""
        return clock.step + 1 == clock.steps

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Fold the masks in."""
        for path, _ in list(model.linears("up")):
            model.bake(path)


class HalfLinear(nn.Module):
    """A linear layer whose weight is kept in half precision.

    Args:
        linear: The layer to take over.
    """

    kept: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("kept", linear.weight.detach().half())
        self.bias = linear.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., out) for (..., in)."""
        return F.linear(hidden, self.kept.to(hidden.dtype), self.bias)


class Round(Part):
    """Every linear layer is put in half precision after training."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._bytes = (0, 0)

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Bake every layer, then put the smaller one in its place."""
        before = after = 0
        for path, _ in list(model.linears()):
            linear = model.bake(path)
            half = HalfLinear(linear)
            before, after = before + linear.weight.nbytes, after + half.kept.nbytes
            model.replace(path, half)
        self._bytes = (before, after)

    def report(self, model: TaskModel) -> dict[str, float]:
        """Return the bytes of the weights, before and after."""
        return {"bytes_before": self._bytes[0], "bytes_after": self._bytes[1]}
