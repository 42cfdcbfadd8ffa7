"""The backbone's own pooling layer trains beside the head."""

from __future__ import annotations

from typing import ClassVar

from hub_core.declare import Clock
from hub_core.model import TaskModel
from hub_core.part import Chosen, Part


class Pooling(Part):
    """The pooling layer that comes with the weights trains (Devlin et al., 2019)."""

    learning_rate_hint: ClassVar = 1e-3

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the pooling layer's parameters."""
        pooler = model.get_submodule(f"backbone.{model.backbone.layout.pooler}")
        return chosen.union(pooler.parameters())
