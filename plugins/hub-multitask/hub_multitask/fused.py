"""A linear layer that attends to what several adapters would add to it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_core.model import Wrapper
from hub_multitask.changes import Change, Sizes

SMALL = 0.02
"""Deviation of queries and keys at first: attention begins nearly even."""
OFF = 1e-6
"""Deviation of a full matrix of values from the identity at first."""


class Values(nn.Module):
    """v(z) = z + C z, C being 0 or nearly so at first: v begins as the identity.

    Args:
        outputs: Length of z.
        width: Rank of C; 0 for a full matrix, as in the paper.
    """

    def __init__(self, outputs: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(outputs, width or outputs, bias=False)
        self.up = nn.Linear(width, outputs, bias=False) if width else None
        nn.init.normal_(self.down.weight, std=SMALL if width else OFF)
        if self.up is not None:
            nn.init.zeros_(self.up.weight)

    def forward(self, added: Tensor) -> Tensor:
        """Return (..., out) for (..., out)."""
        change: Tensor = self.down(added)
        return added + (change if self.up is None else self.up(change))

    def distance(self) -> Tensor:
        """Return |C|^2, the squared distance from the identity."""
        down = self.down.weight
        if self.up is None:
            return down.square().sum()
        up = self.up.weight
        return ((up.T @ up) * (down @ down.T)).sum()  # |up down|^2 without the product


class Fused(Wrapper):
    """y = h + sum_n softmax_n(q(h) · k(z_n)) v(z_n), h = base(x), z_n what adapter n adds to h.

    An adapter that leaves this layer alone has z_n = 0: attention to it is attention to nothing.

    Args:
        base_layer: The linear layer, perhaps wrapped.
        linear: The innermost layer, asked for its sizes.
        sizes: Of every adapter's change.
        width: Of queries and keys, and the rank of values; 0 for as many as outputs.
    """

    stays: ClassVar = True

    def __init__(self, base_layer: nn.Module, linear: nn.Linear, sizes: Sizes, width: int) -> None:
        super().__init__(base_layer)
        inputs, outputs, like = linear.in_features, linear.out_features, linear.weight
        self.sizes = sizes
        self.down = nn.ParameterDict()
        self.up = nn.ParameterDict()
        self.shift = nn.ParameterDict()
        for number, size in enumerate(sizes):
            if size["rank"]:
                self.down[str(number)] = _frozen(like.new_zeros(size["rank"], inputs))
                self.up[str(number)] = _frozen(like.new_zeros(outputs, size["rank"]))
            if size["shift"]:
                self.shift[str(number)] = _frozen(like.new_zeros(outputs))
        self.query = nn.Linear(outputs, width or outputs)
        self.key = nn.Linear(outputs, width or outputs, bias=False)  # it would cancel out
        self.value = Values(outputs, width)
        nn.init.normal_(self.query.weight, std=SMALL)
        nn.init.zeros_(self.query.bias)
        nn.init.normal_(self.key.weight, std=SMALL)

    def fill(self, changes: list[Change | None]) -> None:
        """Take the adapters' factors."""
        with torch.no_grad():
            for number, change in enumerate(changes):
                if change is None:
                    continue
                if change.rank:
                    self.down[str(number)].copy_(change.down)
                    self.up[str(number)].copy_(change.up)
                if change.shift is not None:
                    self.shift[str(number)].copy_(change.shift)

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters of attention."""
        return [p for part in (self.query, self.key, self.value) for p in part.parameters()]

    def added(self, hidden: Tensor) -> Tensor:
        """Return what each adapter adds, (..., N, out)."""
        found = []
        for number, size in enumerate(self.sizes):
            name = str(number)
            change = hidden.new_zeros(*hidden.shape[:-1], self.key.in_features)
            if size["rank"]:
                change = F.linear(F.linear(hidden, self.down[name]), self.up[name])
            if size["shift"]:
                change = change + self.shift[name].to(change.dtype)
            found.append(change)
        return torch.stack(found, -2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., out) for (..., in)."""
        given: Tensor = self.base_layer(hidden)
        added = self.added(hidden)
        scores = (self.key(added) @ self.query(given).unsqueeze(-1)).squeeze(-1)  # (..., N)
        mixed = (scores.softmax(-1).to(added.dtype).unsqueeze(-1) * added).sum(-2)
        fused: Tensor = given + self.value(mixed)  # v is linear: of the sum as of each
        return fused


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
