"""Between the pre-trained and the tuned weights: WiSE-FT (Wortsman et al., 2022)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hub_core.declare import Clock, Stage
from hub_core.errors import IncompatibleError
from hub_core.model import Batch, Output, TaskModel
from hub_core.part import Chosen, Context, Losses, Part
from hub_regularize.swapping import Swap

ONLY_STAGE = Stage().name
"""What training is called where no part brings stages."""

log = logging.getLogger("hub_core")


class WiseFt(Part):
    """What is measured, kept and served is ``(1 - alpha) * pre-trained + alpha * tuned``.

    Equation 1 of the paper, for every pre-trained weight that trains. What was created for the
    task, heads and adapters, and what starts anew has no pre-trained value and stays as it is
    tuned. Where no other part opens the backbone, all of it trains.
    """

    narrows: ClassVar = True  # it asks what the others have opened
    learning_rate_hint: ClassVar = 1e-4

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._pretrained: dict[str, Tensor] = {}
        self._count = 0
        self._finished = False
        self._seen: set[nn.Parameter] = set()
        self._base: dict[nn.Parameter, Tensor] = {}
        self._body: Chosen = frozenset()
        self._swap = Swap()

    def reshape(self, model: TaskModel, ctx: Context) -> None:
        """Note which parameters come with the backbone, before anything is created."""
        self._base = dict.fromkeys(model.backbone.parameters(), torch.empty(0))

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Note what the parameters are like, to tell which of them start anew."""
        there = model.body_parameters() - model.backbone.fresh
        self._base = {p: _marks(p) for p in self._base if p in there and not ctx.restoring}

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Return what others chose, and all that is pre-trained where that is nothing."""
        always = model.head_parameters() | model.backbone.fresh
        if clock.stage == ONLY_STAGE and not chosen - always:
            return chosen.union(self._base)
        return chosen

    def optimizer_options(self, model: TaskModel) -> Mapping[nn.Parameter, Any]:
        """Return nothing; note what of the backbone could train, all parts having been there."""
        self._body = model.body_parameters() - model.backbone.fresh
        return {}

    def optimizer(self, groups: list[dict[str, Any]], ctx: Context) -> None:
        """Bring none; refuse, or warn of, a recipe in which there is nothing to interpolate.

        Raises:
            IncompatibleError: Nothing of the backbone ever trains.
        """
        trained = {parameter for group in groups for parameter in group["params"]}
        if not trained & self._body:
            raise IncompatibleError(
                "wise-ft: it interpolates pre-trained weights, but nothing of the backbone trains",
                hint="add full or top-layers, or leave wise-ft out",
            )
        if not trained & self._base.keys():
            log.warning("wise-ft changes nothing: it interpolates pre-trained weights, and none of "
                        "these train; add full or top-layers, or leave it out")  # fmt: skip

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Keep the values of what begins to train, before its first step."""
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and parameter not in self._seen:
                self._seen.add(parameter)
                if name not in self._pretrained and self._is_old(parameter):
                    self._pretrained[name] = parameter.detach().clone()

    def _is_old(self, parameter: nn.Parameter) -> bool:
        """Return whether it has the values with which it came, or that an artifact gave it."""
        marks = self._base.get(parameter)
        return marks is not None and (self._finished or torch.equal(marks, _marks(parameter)))

    def before_evaluation(self, model: TaskModel, clock: Clock) -> None:
        """Put the weights in between in place."""
        between = {
            name: torch.lerp(value, model.get_parameter(name).detach(), self.options.alpha)
            for name, value in self._pretrained.items()
        }
        self._swap.put(model, between)

    def after_evaluation(self, model: TaskModel, clock: Clock) -> None:
        """Put the tuned weights back."""
        self._swap.undo(model)

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Forget the pre-trained values, and count them."""
        if not ctx.restoring:
            self._count, self._finished = len(self._pretrained), True
        self._pretrained = {}

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return how many of the model's tensors lie between."""
        return {"interpolated": self._count}

    def state_dict(self) -> dict[str, Any]:
        """Return the pre-trained values of what has trained, and how many there were."""
        values = {name: value.clone() for name, value in self._pretrained.items()}
        return {"pretrained": values, "count": self._count, "finished": self._finished}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._count, self._finished = state["count"], state["finished"]
        self._pretrained = {name: value.clone() for name, value in state["pretrained"].items()}


def _marks(parameter: nn.Parameter) -> Tensor:
    """Return two sums by which a parameter's values are known again, (2,)."""
    values = parameter.detach().double()
    return torch.stack([values.sum(), values.square().sum()])
