"""The highest layers train, and everything after them."""

from __future__ import annotations

from typing import ClassVar

from hub_basics.blocks import embeddings
from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part


class TopLayers(Part):
    """The highest layers train, and everything after them (Lee et al., 2019)."""

    learning_rate_hint: ClassVar = 2e-4

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Refuse more layers than there are."""
        there = len(model.backbone.layout.layers)
        if self.options.layers > there:
            raise IncompatibleError(
                f"top-layers: layers = {self.options.layers}, but the backbone has {there}",
                hint=f"give a number from 1 to {there}",
            )

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the parameters of the highest layers and of what comes after them."""
        low = model.layers()[: -self.options.layers]
        below = {p for block in (embeddings(model), *low) for p in block.parameters()}
        return chosen | (model.body_parameters() - below)
