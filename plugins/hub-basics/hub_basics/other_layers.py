"""Named subsets of the backbone train, numbered layers, or blocks chosen by their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub_basics.blocks import named_blocks
from hub_basics.groups import GROUPS
from hub_basics.surgical import best_neighbours, relative, squares_of
from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part

SURGICAL = "surgical"
VECTORS = ("norms",)
"""The subsets without a matrix: at the rate of layers they hardly move."""


class OtherLayers(Part):
    """The head and the named subsets train; what they have in common trains once.

    With ``surgical`` the neighbouring blocks with the largest relative gradient norm
    ||g|| / ||theta|| are chosen, before training and once (Lee et al., 2023, whose Auto-RGN scales
    each layer's rate by it).
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._groups = options.groups or (() if options.layers else ("norms",))
        self._chosen: list[str] = []
        self._relative: dict[str, float] = {}

    @property
    def learning_rate_hint(self) -> float:  # type: ignore[override]
        """Return the rate of whole layers, or a higher one where vectors alone train."""
        return 3e-3 if self._groups == VECTORS and not self.options.layers else 2e-4

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Refuse layers, subsets and blocks that do not exist."""
        self._check_layers(len(model.backbone.layout.layers))
        self._check_groups(model)
        blocks = list(named_blocks(model))
        if SURGICAL in self._groups and self.options.blocks > len(blocks):
            raise IncompatibleError(
                f"other-layers: blocks = {self.options.blocks}, but the backbone has "
                f"{len(blocks)}: {', '.join(blocks)}",
                hint=f"give a number from 1 to {len(blocks)}",
            )

    def _check_layers(self, there: int) -> None:
        absent = sorted({number for number in self.options.layers if number >= there})
        if absent:
            raise IncompatibleError(
                f"other-layers: there is no layer {' and no layer '.join(map(str, absent))}, the "
                f"backbone has {there}",
                hint=f"give numbers from 0, the lowest, to {there - 1}",
            )

    def _check_groups(self, model: TaskModel) -> None:
        there = [name for name, find in GROUPS.items() if find(model)]
        absent = [name for name in self._groups if name not in (*there, SURGICAL)]
        if absent:
            raise IncompatibleError(
                f"other-layers: nothing in the backbone belongs to {' or '.join(absent)}",
                hint=f"it has {', '.join(there)}",
            )

    def observe(self, model: TaskModel, ctx: Context) -> None:
        """Choose blocks by the gradients of a few batches."""
        if SURGICAL not in self._groups:
            return
        squares = squares_of(model, named_blocks(model), ctx.batches(self.options.batches))
        self._chosen = best_neighbours(squares, self.options.blocks)
        self._relative = {name: relative(squares, name) for name in squares}

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the parameters of all subsets, numbered layers and chosen blocks."""
        blocks = named_blocks(model)
        names = [*(f"layer {number}" for number in self.options.layers), *self._chosen]
        found = [frozenset(blocks[name].parameters()) for name in names]
        found += [GROUPS[name](model) for name in self._groups if name != SURGICAL]
        return chosen.union(*found)

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return each block's relative gradient norm, and 1 for every block that was chosen."""
        figures = {f"relative_gradient_{_key(n)}": value for n, value in self._relative.items()}
        return figures | {f"chosen_{_key(name)}": 1.0 for name in self._chosen}

    def state_dict(self) -> dict[str, Any]:
        """Return what was chosen, and by which figures."""
        return {"chosen": list(self._chosen), "relative": dict(self._relative)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self._chosen, self._relative = list(state["chosen"]), dict(state["relative"])


def _key(block: str) -> str:
    return block.replace(" ", "_")
