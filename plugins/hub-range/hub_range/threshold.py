"""The strategy of soft thresholds: under the heads' output layers, after up layers, on weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part
from hub_range.proximal import matrices, shrink, zeros_in
from hub_range.shrinkage import Threshold, Thresholded
from hub_range.watching import means, share_of_zeros

MEASURED = 16
"""Batches that thresholds start from, and that zeros are counted in."""


class SoftThreshold(Part):
    """Thresholds under the heads' output layers and after the up layers; sparse weights."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._places: dict[str, Threshold] = {}
        self._observed = False
        self._figures: dict[str, float] = {}

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Wrap the linear layers."""
        if "vector" in self.options.where:
            for task in ctx.tasks:
                output = model.head(task.name).output
                self._wrap(model, f"heads.{task.name}.output", output.in_features, before=True)
        if "up" in self.options.where:
            self._wrap_up_layers(model)

    def _wrap_up_layers(self, model: TaskModel) -> None:
        found = list(model.linears("up"))
        if not found:
            roles = sorted(set(model.backbone.layout.linears.values()))
            raise IncompatibleError(
                "soft-threshold: the backbone has no linear layer of the role up",
                hint=f'set where = ["vector"]; its linear layers are {", ".join(roles)}',
            )
        for path, linear in found:
            self._wrap(model, path, linear.out_features, before=False)
        # beneath its threshold a layer is still linear: later parts can adapt, bake or replace it
        layout = model.backbone.layout
        moved = {path.removeprefix("backbone.") for path, _ in found}
        linears = {f"{p}.base_layer" if p in moved else p: r for p, r in layout.linears.items()}
        model.backbone.layout = replace(layout, linears=linears)

    def _wrap(self, model: TaskModel, path: str, channels: int, *, before: bool) -> None:
        wrapped: list[Thresholded] = []

        def make(layer: nn.Module) -> nn.Module:
            wrapped.append(Thresholded(layer, channels, before=before))
            return wrapped[0]

        model.wrap(path, make)
        self._places[path] = wrapped[0].threshold

    def observe(self, model: TaskModel, ctx: Context) -> None:
        """Start every threshold at a share of the channel's mean absolute value."""
        self._observed = True
        if self._places:
            for path, mean in means(model, ctx.batches(MEASURED), self._places).items():
                self._places[path].begin(self.options.start * mean)

    # -- train

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the thresholds."""
        return chosen | {place.raw for place in self._places.values()}

    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Shrink the matrices that were stepped, by the rate times the strength."""
        if self.options.proximal:
            shrink(matrices(model, self.options.target), clock.rate * self.options.strength)

    # -- finish

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Count the zeros."""
        if ctx.restoring or not self._observed:
            return
        model.eval()
        if self._places:
            batches = ctx.validation(MEASURED) or ctx.batches(MEASURED)
            self._figures["activation_zeros"] = share_of_zeros(model, batches, self._places)
        if self.options.proximal:
            self._figures["weight_zeros"] = zeros_in(matrices(model, self.options.target))

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return the shares of activations and of weights that are zero."""
        return self._figures

    def state_dict(self) -> dict[str, Any]:
        """Return whether the thresholds have been started."""
        return {"observed": self._observed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self._observed = state["observed"]
