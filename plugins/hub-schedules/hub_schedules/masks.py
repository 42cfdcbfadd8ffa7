"""Child-Tuning: only a child network of the backbone learns in a step (Xu et al., 2021).

    w <- w - rate * AdamW(g * M)            (equation 2; M is 1 in the child network, else 0)

Task-free, M is drawn in every step from Bernoulli(p) and divided by p (algorithm 1, equation 4).
Task-driven, M is fixed: the share p of the layers' weights with the largest Fisher information.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context
from hub_schedules.bits import packed, unpacked
from hub_schedules.fisher import fisher_of, largest
from hub_schedules.pretrained import OnPretrained


class ChildTuning(OnPretrained):
    """Gradients are masked after clipping and before the optimizer's moments.

    Heads, and what the checkpoint lacked, always learn; task-driven, so does what lies outside
    of the layers, if it trains at all, and what other parts added. Weights outside a task-driven
    mask are put back after every step, whatever optimizer and weight decay did to them.
    """

    name: ClassVar = "child-tuning"

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._driven = options.variant == "driven"
        self._seed = -1
        self._kept: Tensor | None = None
        self._held: dict[nn.Parameter, Tensor] = {}
        self._before: dict[nn.Parameter, Tensor] = {}

    @property
    def acts_on(self) -> str:  # type: ignore[override]
        """What it acts on, in words."""
        return "pre-trained weights of the layers" if self._driven else "the backbone's weights"

    def reach(self, model: TaskModel) -> Chosen:
        """Return what is masked if it trains."""
        everything = model.body_parameters() - model.backbone.fresh
        return frozenset(self._layers(model)) if self._driven else everything

    def _layers(self, model: TaskModel) -> list[nn.Parameter]:
        """Return the pre-trained parameters of all layers."""
        inside = frozenset(p for layer in model.layers() for p in layer.parameters())
        return [parameter for parameter in self.pretrained(model) if parameter in inside]

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Refuse a mask that keeps no weight; take up one that was decided.

        Raises:
            IncompatibleError: The mask would keep none.
        """
        if not self._driven or ctx.restoring:
            return
        layers = self._layers(model)
        total = sum(parameter.numel() for parameter in layers)
        if not self._count(total):
            raise IncompatibleError(
                f"child-tuning: p = {self.options.p:g} keeps none of the {total} weights of the "
                "backbone's layers",
                hint="give a larger share, such as 0.3",
            )
        if self._kept is not None:
            self._hold(layers, unpacked(self._kept, total))

    def _count(self, total: int) -> int:
        count: int = round(self.options.p * total)
        return count

    def observe(self, model: TaskModel, ctx: Context) -> None:
        """Draw the seed, and choose the task-driven mask."""
        self._seed = int(torch.randint(2**31, (), generator=ctx.generator))
        if self._driven:
            layers = self._layers(model)
            found = fisher_of(model, ctx.batches(self.options.batches), layers)
            mask = torch.zeros(len(found), dtype=torch.bool)
            mask[largest(found, self._count(len(found))).cpu()] = True
            self._kept = packed(mask)
            self._hold(layers, mask)

    def _hold(self, layers: list[nn.Parameter], mask: Tensor) -> None:
        """Note for each parameter where it does not learn."""
        parts = torch.split(~mask, [parameter.numel() for parameter in layers])
        self._held = {
            parameter: part.view_as(parameter).to(parameter.device)
            for parameter, part in zip(layers, parts, strict=True)
        }

    @torch.no_grad()
    def on_gradients(self, model: TaskModel, clock: Clock) -> None:
        """Mask the gradients."""
        if not self._driven:
            self._drop(model, clock)
            return
        for parameter, held in self._held.items():
            if parameter.grad is not None:
                parameter.grad.masked_fill_(held, 0)
                self._before[parameter] = parameter.detach().clone()

    def _drop(self, model: TaskModel, clock: Clock) -> None:
        """Multiply every gradient by Bernoulli(p) / p."""
        p = self.options.p
        for name, parameter in model.backbone.named_parameters():
            if parameter.grad is not None and parameter not in model.backbone.fresh:
                chance = torch.Generator(parameter.device)
                # of its own, so that it depends on nothing else that is drawn
                chance.manual_seed(_seed_of(self._seed, clock.stage, clock.step, name))
                mask = torch.empty_like(parameter.grad).bernoulli_(p, generator=chance)
                parameter.grad.mul_(mask.div_(p))

    @torch.no_grad()
    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Put back what is outside of the mask."""
        for parameter, before in self._before.items():
            parameter.copy_(torch.where(self._held[parameter], before, parameter))
        self._before.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the seed, and the mask as a bit for each weight of the layers."""
        return {"seed": self._seed, "mask": self._kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._seed, self._kept = state["seed"], state["mask"]


def _seed_of(*values: object) -> int:
    return random.Random(repr(values)).getrandbits(63)
