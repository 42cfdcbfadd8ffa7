"""What strategies have in common that act on pre-trained weights as these train."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from hub_core.declare import Clock, Stage
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, ParameterOptions, Part

log = logging.getLogger("hub_core")
ONLY_STAGE = Stage().name


class OnPretrained(Part):
    """Acts on pre-trained weights that other parts open; if they open nothing, on all of them.

    Attributes:
        name: What the user calls it.
        acts_on: What it acts on, in words.
    """

    narrows: ClassVar = True  # asked last, so that it sees what others open
    learning_rate_hint: ClassVar = 1e-4
    name: ClassVar[str]
    acts_on: ClassVar[str]

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._base: tuple[nn.Parameter, ...] = ()
        self._body: Chosen = frozenset()
        self._reach: Chosen = frozenset()

    def reshape(self, model: TaskModel, ctx: Context) -> None:
        """Note the backbone's own parameters, before any part adds some."""
        self._base = tuple(model.backbone.parameters())

    def pretrained(self, model: TaskModel) -> list[nn.Parameter]:
        """Return the pre-trained parameters that are still there, always in the same order."""
        there = model.body_parameters() - model.backbone.fresh
        return [parameter for parameter in self._base if parameter in there]

    def reach(self, model: TaskModel) -> Chosen:
        """Return what it can act on."""
        return frozenset(self.pretrained(model))

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Return what others chose, and all that is pre-trained where no part opens the backbone.

        A part with stages of its own says by them when the backbone trains.
        """
        always = model.head_parameters() | model.backbone.fresh
        if clock.stage == ONLY_STAGE and not chosen - always:
            return chosen.union(self.pretrained(model))
        return chosen

    def optimizer_options(self, model: TaskModel) -> Mapping[nn.Parameter, ParameterOptions]:
        """Return nothing; note what of the backbone could train, and what could be acted on."""
        self._body = model.body_parameters() - model.backbone.fresh
        self._reach = self.reach(model)
        return {}

    def optimizer(self, groups: list[dict[str, Any]], ctx: Context) -> None:
        """Bring none; refuse, or warn of, a recipe in which there is nothing to act on.

        Raises:
            IncompatibleError: Nothing of the backbone ever trains.
        """
        trained = {parameter for group in groups for parameter in group["params"]}
        if not trained & self._body:
            raise IncompatibleError(
                f"{self.name}: it acts on {self.acts_on}, but nothing of the backbone trains",
                hint=f"add full or top-layers, or leave {self.name} out",
            )
        if not trained & self._reach:
            log.warning("%s changes nothing: it acts on %s, and none of these train; add full or "
                        "top-layers, or leave it out", self.name, self.acts_on)  # fmt: skip
