"""The biases train, and no matrix of the backbone (Ben-Zaken et al., 2022)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part

SUBSET = ("query", "up")
"""The roles of the paper's subset: the query, and the way to the wide states."""


class BitFit(Part):
    """The biases of linear layers and norms train, or only those of query and up-projection."""

    learning_rate_hint: ClassVar = 1e-3

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Refuse a backbone without these biases."""
        if self.options.which == "all" and not _all_biases(model):
            raise IncompatibleError(
                "bitfit: nothing in the backbone has a bias",
                hint='train its norms instead: other-layers with groups = ["norms"]',
            )
        lacking = [role for role in SUBSET if not _biases(model, role)]
        if self.options.which != "all" and lacking:
            raise IncompatibleError(
                'bitfit: which = "query-and-up", but the backbone has no biases of the roles '
                f"{', '.join(lacking)}",
                hint=f'{_there(model)}; which = "all" takes every bias of the backbone',
            )

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the biases."""
        whole = self.options.which == "all"
        return chosen | (_all_biases(model) if whole else _biases(model, *SUBSET))


def _all_biases(model: TaskModel) -> Chosen:
    """Return what is called a bias; recurrent layers number theirs, such as ``bias_ih_l0``."""
    named = model.backbone.named_parameters()
    return frozenset(p for name, p in named if name.rpartition(".")[2].startswith("bias"))


def _biases(model: TaskModel, *roles: str) -> Chosen:
    found: list[nn.Parameter | None] = [linear.bias for _, linear in model.linears(*roles)]
    return frozenset(bias for bias in found if bias is not None)


def _there(model: TaskModel) -> str:
    roles = sorted(r for r in set(model.backbone.layout.linears.values()) if _biases(model, r))
    return (
        f"it has some of the roles {', '.join(roles)}" if roles else "its linear layers have none"
    )
