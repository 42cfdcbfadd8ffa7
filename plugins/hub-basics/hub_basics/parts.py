"""The two ends: all of the pre-trained weights train, or none of them."""

from __future__ import annotations

from typing import ClassVar

from hub_core.declare import Clock
from hub_core.model import TaskModel
from hub_core.part import Chosen, Part


class Full(Part):
    """Everything trains (Devlin et al., 2019)."""

    learning_rate_hint: ClassVar = 1e-4

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add all parameters."""
        return frozenset(model.parameters())


class HeadOnly(Part):
    """Only what trains anyway: the head (linear probing; Alain and Bengio, 2016)."""

    learning_rate_hint: ClassVar = 1e-2
