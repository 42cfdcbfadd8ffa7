"""Other values for some parameters, for a while."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hub_core.model import TaskModel


class Swap:
    """Puts values in the place of a model's parameters, and back what was there, to the bit."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def put(self, model: TaskModel, values: Mapping[str, Tensor]) -> None:
        """Give parameters other values, by name."""
        self._kept = {name: model.get_parameter(name).clone() for name in values}
        for name, value in values.items():
            model.get_parameter(name).copy_(value)

    @torch.no_grad()
    def undo(self, model: TaskModel) -> None:
        """Give them what they had before ``put``."""
        for name, value in self._kept.items():
            model.get_parameter(name).copy_(value)
        self._kept = {}
