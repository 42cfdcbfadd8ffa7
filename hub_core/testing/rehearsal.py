"""A run step by step: what ``hub_core.train`` does, with every step open to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hub_core import artifact, evaluate
from hub_core.artifact import Trained
from hub_core.build import Blueprint, Built, assemble, plan
from hub_core.catalog import Catalog
from hub_core.data import TaskData
from hub_core.jobs import calibration, training_rows
from hub_core.loading import load
from hub_core.model import Backbone, Batch, Row, TaskModel
from hub_core.part import Context
from hub_core.recipe import Training, parse
from hub_core.rows import rows_of
from hub_core.tasks import read_data
from hub_core.training import Loop, Metrics


@dataclass(slots=True)
class Rehearsal:
    """An assembled model with its data.

    Args:
        blueprint: What was assembled.
        built: The model and its parts.
        found: Every task's data.
        rows: Every task's training rows; empty where an artifact is restored.
        held: Every task's validation rows.
        loaded: The backbone's parameters with the values of its checkpoint.
        hooks: The hooks that the backbone's modules had when it was loaded.
    """

    blueprint: Blueprint
    built: Built
    found: Mapping[str, TaskData]
    rows: Mapping[str, Sequence[Row]]
    held: Mapping[str, Sequence[Row]]
    loaded: Mapping[nn.Parameter, Tensor]
    hooks: frozenset[int]

    @property
    def model(self) -> TaskModel:
        """The model."""
        return self.built.model

    @property
    def settings(self) -> Training:
        """How it is trained."""
        return self.blueprint.recipe.training

    def loop(self, *, validated: bool = True) -> Loop:
        """Return the loop that trains it, with validation or without."""

        def score(metrics: Metrics) -> float:
            best = [found[self.model.head(name).metric] for name, found in metrics.items()]
            return sum(best) / len(best)

        validate = self.metrics if validated else None
        watched = self.held if validated else None
        return Loop(
            self.built, self.rows, self.settings, validate=validate, score=score, watched=watched
        )

    def metrics(self) -> Metrics:
        """Return every task's metrics on its validation data."""
        return {
            name: self.model.head(name).metrics(
                evaluate.predict_rows(self.model, name, rows), self.found[name].splits["validation"]
            )
            for name, rows in self.held.items()
        }

    def train(self) -> Loop:
        """Run the loop to its end and return it."""
        loop = self.loop()
        loop.run()
        return loop

    def finish(self, loop: Loop) -> Trained:
        """Take what was trained, then finalize the model."""
        tasks = [task_data.task for task_data in self.found.values()]
        return artifact.finish(self.blueprint, self.built, tasks, loop.plan.ever)

    def batch(self, task: str = "", rows: Sequence[Row] | None = None) -> Batch:
        """Return validation rows of a task as a batch; all of the first task's by default."""
        name = task or next(iter(self.held))
        chosen = list(self.held[name] if rows is None else rows)
        device = next(self.model.parameters()).device
        return self.model.head(name).collate(chosen, self.model.backbone).to(device)

    @torch.no_grad()
    def outputs(self) -> Tensor:
        """Return all scores of the validation rows, as one flat tensor of float32."""
        self.model.eval()
        scores = [self.model(self.batch(name)).scores.float().flatten() for name in self.held]
        return torch.cat(scores)

    @torch.no_grad()
    def loss(self) -> float:
        """Return the mean loss of the training rows, with nothing dropped out."""
        self.model.eval()
        found = []
        for name, rows in self.rows.items():
            batch = self.batch(name, rows)
            found.append(self.model.head(name).loss(self.model(batch).scores, batch).mean())
        return float(torch.stack(found).mean())


def rehearse(
    recipe: Mapping[str, Any],
    data: Mapping[str, Any],
    catalog: Catalog,
    states: Sequence[Mapping[str, Any]] | None = None,
) -> Rehearsal:
    """Assemble a recipe's model.

    Args:
        recipe: The recipe.
        data: Task to split to rows.
        catalog: The plugins.
        states: The parts' states: an artifact is restored then, and there are no data.
    """
    ctx = Context(restoring=states is not None, load=lambda reference: load(reference))
    blueprint = plan(parse(recipe), catalog, ctx)
    found = read_data(blueprint, data, None)
    loaded: dict[nn.Parameter, Tensor] = {}
    hooks: set[int] = set()

    def note(backbone: Backbone) -> frozenset[Tensor]:
        loaded.update((p, p.detach().clone()) for p in backbone.parameters())
        hooks.update(hooks_of(backbone))
        return frozenset()

    tasks = [task_data.task for task_data in found.values()]
    built = assemble(blueprint, tasks, ctx, states, note)
    rows: Mapping[str, Sequence[Row]] = {}
    held = {
        name: rows_of(built.model.head(name), d.splits["validation"], built.model.backbone)
        for name, d in found.items()
    }
    if states is None:
        rows = training_rows(built, found, lambda *_: None)
        for own in built.contexts:
            own.batches = lambda n: calibration(built, rows, n)
            own.validation = lambda n: calibration(built, held, n)
        built.observe()
    return Rehearsal(blueprint, built, found, rows, held, loaded, frozenset(hooks))


def hooks_of(model: nn.Module) -> dict[int, str]:
    """Return the hooks that change what modules compute, with the module of each."""
    return {
        id(hook): name
        for name, module in model.named_modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    }
