"""Block coordinate descent with Adam, one block of layers at a time (BAdam; Luo et al., 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context
from hub_schedules.turns import TakingTurns


class BlockCoordinate(TakingTurns):
    """Each layer trains for K steps with new moments, then the next one (algorithm 1).

    The head and what comes after the layers always train: a classifier's head starts from nothing.
    Whatever other parts open is narrowed; if they open nothing in any layer, all of the backbone.
    """

    learning_rate_hint: ClassVar = 4e-4

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._figures: dict[str, float] = {}

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Refuse a model with a single block."""
        super().prepare(model, ctx)
        if len(model.layers()) + self.options.embeddings < 2:
            raise IncompatibleError(
                "block-coordinate: blocks take turns, but the backbone has a single layer",
                hint="make its embeddings a block too (embeddings = true), or use full instead",
            )

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Take away all blocks but the one whose turn it is.

        Raises:
            IncompatibleError: Some blocks would never have their turn.
        """
        found = self.blocks(model)
        chosen = found.opened(chosen)
        ordered = [found.inputs] * self.options.embeddings + [*found.layers]
        blocks = [block for block in ordered if block & chosen]
        steps = self._steps(len(blocks), clock)
        self._figures = {"blocks": len(blocks), "steps": steps}
        active = blocks[self._place(clock.step // steps, len(blocks))]
        return chosen.difference(found.inputs, *found.layers) | (chosen & active)

    def _steps(self, blocks: int, clock: Clock) -> int:
        """Return K; by default n / (B D) for n examples, batches of B and D blocks."""
        steps: int = self.options.steps
        if not steps:
            return max(1, clock.steps // clock.epochs // blocks)
        if steps * blocks > clock.steps:
            raise IncompatibleError(
                f"block-coordinate: with steps = {steps} its {blocks} blocks need "
                f"{steps * blocks} steps until each has had its turn, but training has "
                f"{clock.steps}",
                hint="leave steps out, lower it, or train for more epochs",
            )
        return steps

    def _place(self, turn: int, blocks: int) -> int:
        """Return which block has a turn, counted from the bottom."""
        number, place = divmod(turn, blocks)
        if self.options.order == "ascending":
            return place
        if self.options.order == "descending":
            return blocks - 1 - place
        return self.drawn(number, blocks, blocks)[place]

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return the number of blocks, and the steps that each had at a time."""
        return self._figures
