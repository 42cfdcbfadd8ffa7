"""AdapterFusion (Pfeiffer et al., 2021): attention over adapters that were trained before.

What an artifact adds to a linear layer is kept as low-rank factors, whatever strategy made it, and
beside each such layer attention weighs what the adapters would add. They stay as they are.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import Batch, Output, TaskModel
from hub_core.part import Chosen, Context, Losses, Part
from hub_multitask.changes import Change, Sizes, changes_of, sizes_of
from hub_multitask.fused import Fused


class Fusion(Part):
    """Only attention over the adapters trains, and the head."""

    learning_rate_hint: ClassVar = 1e-3

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._names: list[str] = []
        self._sizes: dict[str, Sizes] = {}
        self._changes: dict[nn.Linear, list[Change | None]] = {}
        self._fused: dict[str, Fused] = {}

    # -- build

    def reshape(self, model: TaskModel, ctx: Context) -> None:
        """Read the adapters: here the backbone still is as it was pre-trained."""
        if self._sizes:  # restored: the factors come with the tensors
            return
        if not self.options.adapters:
            raise IncompatibleError(
                "fusion: no adapter is named",
                hint='give adapters = ["FOLDER", …], trained on the backbone of this recipe',
            )
        self._names = [_public(reference) for reference in self.options.adapters]
        if ctx.empty:  # a dry run: no weights, so nobody knows what an adapter changes
            self._assume(model)
            return
        found = [self._read(reference, model, ctx) for reference in self.options.adapters]
        for path, linear in model.linears():
            changes = [own.get(path) for own in found]
            if any(changes):
                self._changes[linear] = changes

    def _assume(self, model: TaskModel) -> None:
        """Take every adapter to change every linear layer as much as it may."""
        for path, linear in model.linears():
            rank = min(self.options.largest_rank, linear.in_features, linear.out_features)
            self._sizes[path] = [{"rank": rank, "shift": 0} for _ in self._names]

    def _read(self, reference: str, model: TaskModel, ctx: Context) -> dict[str, Change]:
        adapted = ctx.load(reference).model.to(next(model.parameters()).device)
        return changes_of(_public(reference), adapted, model, self.options.largest_rank)

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Wrap the layers that an adapter changes; by now others may have wrapped them too."""
        wrapped = {
            path: sizes_of(self._changes[linear])
            for path, linear in model.linears()
            if linear in self._changes
        }
        self._sizes = wrapped or self._sizes
        for path, sizes in self._sizes.items():
            linear = model.innermost(path)
            assert isinstance(linear, nn.Linear)
            make = functools.partial(Fused, linear=linear, sizes=sizes, width=self.options.width)
            model.wrap(path, make)
            fused = model.get_submodule(path)
            assert isinstance(fused, Fused)
            self._fused[path] = fused
            if linear in self._changes:
                fused.fill(self._changes[linear])
        self._changes = {}

    # -- train

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add queries, keys and values."""
        return chosen.union(*(fused.trained() for fused in self._fused.values()))

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Add the values' distance from the identity."""
        if self.options.regularization:
            distances = [fused.value.distance() for fused in self._fused.values()]
            losses.add("fusion", torch.stack(distances).sum(), self.options.regularization)

    # -- finish

    def report(self, model: TaskModel) -> dict[str, float]:
        """Return how many adapters were fused, in how many layers, of which rank at most."""
        ranks = [size["rank"] for sizes in self._sizes.values() for size in sizes]
        return {
            "adapters": len(self._names),
            "layers": len(self._sizes),
            "largest_rank": max(ranks, default=0),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the adapters' names, and how large their changes are in each layer."""
        layers = {path: [dict(size) for size in sizes] for path, sizes in self._sizes.items()}
        return {"adapters": list(self._names), "layers": layers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back; nothing is loaded then."""
        self._names = list(state["adapters"])
        self._sizes = {path: list(sizes) for path, sizes in state["layers"].items()}


def _public(reference: str) -> str:
    """Return a reference without any path of this machine."""
    # os.path, because Path.exists raises on texts that are too long to be paths
    return Path(reference).name if os.path.exists(reference) else reference  # noqa: PTH110
