"""Parts of the model start anew (Zhang et al., 2021, "Revisiting few-sample BERT fine-tuning").

Everything happens in ``observe``: once, with the data, and never again where an artifact is loaded
or a run resumed, because what starts anew trains and is stored like anything else that trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hub_core.batch import Batch
from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part
from hub_reinit.computing import class_means, moments_of, ridge
from hub_reinit.drawing import draw
from hub_reinit.lsuv import unit_variance
from hub_reinit.options import COMPUTED

ALL = 1_000_000
"""More batches than anybody trains on."""


class Reinit(Part):
    """Top layers, pooler or heads are drawn anew, or heads computed from the training data."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._own: frozenset[nn.Parameter] = frozenset()
        self._drawn: dict[nn.Parameter, str] = {}

    @property
    def learning_rate_hint(self) -> float | None:  # type: ignore[override]
        """Return a rate for layers; heads leave it to the strategy that trains beside them."""
        return None if self.options.what == ("head",) else 1e-4

    def reshape(self, model: TaskModel, ctx: Context) -> None:
        """Note the backbone's own parameters, before adapters are added."""
        self._own = frozenset(model.backbone.parameters())

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Choose what starts anew, all layers that go having gone."""
        there = len(model.backbone.layout.layers)
        if "top-layers" in self.options.what and self.options.layers > there:
            raise IncompatibleError(
                f"reinit: layers = {self.options.layers}, but the backbone has {there}",
                hint=f"give a number from 1 to {there}",
            )
        body = (p for module in self._body(model) for p in module.parameters())
        self._own = self._own.intersection(body)

    def _body(self, model: TaskModel) -> list[nn.Module]:
        """Return what starts anew of the backbone, bottom to top."""
        layers = model.layers()[-self.options.layers :] if "top-layers" in self.options.what else []
        if "pooler" in self.options.what:
            layers.append(model.get_submodule(f"backbone.{model.backbone.layout.pooler}"))
        return layers

    def observe(self, model: TaskModel, ctx: Context) -> None:
        """Draw, or compute, what starts anew."""
        if self.options.method in COMPUTED:
            self._compute(model, ctx)
            return
        heads = list(map(model.head, model.heads)) if "head" in self.options.what else []
        own = self._own.union(*(head.parameters() for head in heads))
        modules = [*self._body(model), *heads]
        for module in modules:
            draw(module, own, self.options.method, ctx.generator)
        if self.options.method == "lsuv":
            _scale(model, modules, own, ctx)
        self._drawn = {p: name for name, p in model.named_parameters() if p in self._own}

    def _compute(self, model: TaskModel, ctx: Context) -> None:
        batches = ctx.batches(ALL)
        for task in ctx.tasks:
            found = moments_of(model, [batch for batch in batches if batch.task == task.name])
            if self.options.method == "probe":
                weights, biases = ridge(found, self.options.ridge)
            else:
                weights, biases = class_means(found, task)
            output = model.head(task.name).output
            with torch.no_grad():
                output.weight.copy_(weights)
                if output.bias is not None:
                    output.bias.copy_(biases)

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add what starts anew of the backbone: it must train, and be stored."""
        return chosen | self._own

    def optimizer(self, groups: list[dict[str, Any]], ctx: Context) -> None:
        """Refuse that another part keeps from training, at all times, what was drawn anew."""
        trains = {parameter for group in groups for parameter in group["params"]}
        if lost := [name for parameter, name in self._drawn.items() if parameter not in trains]:
            raise IncompatibleError(
                f"reinit: {lost[0]} starts anew but would never train, so it would not be stored",
                hint="take the strategy out that narrows what trains, or train longer",
            )


def _scale(model: TaskModel, modules: Sequence[nn.Module], own: Chosen, ctx: Context) -> None:
    """Give the drawn linear layers outputs of unit variance, on a batch of every task."""
    drawn = {
        layer: weight
        for module in modules
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
        for weight in layer.parameters()
        if weight in own and weight.dim() > 1
    }
    batches: dict[str, Batch] = {}
    for batch in ctx.batches(len(ctx.tasks)):
        batches.setdefault(batch.task, batch)

    def run() -> None:
        for batch in batches.values():
            model(batch)

    model.eval()
    unit_variance(drawn, run)
