"""LISA: a few layers, drawn anew every now and then, train at a time (Pan et al., 2024)."""

from __future__ import annotations

from typing import ClassVar

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen
from hub_schedules.turns import TakingTurns


class Lisa(TakingTurns):
    """Layers are drawn uniformly and without replacement; head and embeddings always train.

    What the optimizer knew of a layer is dropped when others are drawn (algorithm 1). Whatever
    other parts open is narrowed; if they open nothing in any layer, all of the backbone is.
    """

    learning_rate_hint: ClassVar = 4e-4

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Take away the layers that were not drawn.

        Raises:
            IncompatibleError: More layers are wanted than may train.
        """
        blocks = self.blocks(model)
        chosen = blocks.opened(chosen)
        layers = [layer for layer in blocks.layers if layer & chosen]
        if self.options.active > len(layers):
            raise IncompatibleError(
                f"lisa: active = {self.options.active}, but only {len(layers)} of the backbone's "
                f"{len(blocks.layers)} layers may train here",
                hint=f"give a number from 1 to {len(layers)}",
            )
        turn = clock.step // self.options.period
        active = self.drawn(turn, len(layers), self.options.active)
        frozen = (layer for number, layer in enumerate(layers) if number not in active)
        return chosen.difference(*frozen)
