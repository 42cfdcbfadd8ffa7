"""What strategies have in common whose blocks of layers take turns, as chance decides."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from hub_core.model import TaskModel
from hub_core.part import Context, Part
from hub_schedules.blocks import Blocks, blocks_of


class TakingTurns(Part):
    """Narrows what trains to some blocks; what the optimizer knew of the others is dropped.

    All draws come from one seed, so what trains is known for every step beforehand.
    """

    narrows: ClassVar = True
    forgets = True

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._blocks: Blocks | None = None
        self._seed = -1

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Draw the seed, unless there was one in the state."""
        if self._seed < 0:
            self._seed = int(torch.randint(2**31, (), generator=ctx.generator))

    def blocks(self, model: TaskModel) -> Blocks:
        """Return the model's blocks."""
        if self._blocks is None:
            self._blocks = blocks_of(model)
        return self._blocks

    def drawn(self, turn: int, count: int, size: int) -> list[int]:
        """Return ``size`` of the numbers below ``count`` in random order, the same for a turn."""
        return random.Random(f"{self._seed} {turn}").sample(range(count), size)

    def state_dict(self) -> dict[str, Any]:
        """Return the seed."""
        return {"seed": self._seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the seed back."""
        self._seed = state["seed"]
