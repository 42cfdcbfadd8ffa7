"""Models whose trainable tensors are moved at random instead of trained: artifacts in no time."""

from dataclasses import dataclass
from pathlib import Path

import torch
import toydata

from hub_core.artifact import Record, Trained, finish, save
from hub_core.build import Blueprint, Built, assemble, plan
from hub_core.catalog import installed
from hub_core.declare import Task
from hub_core.manifest import TaskEntry
from hub_core.part import Chosen, Context
from hub_core.recipe import parse
from hub_core.spec import Method
from hub_core.training import plan_run

LABELS = ("bad", "good")
EXAMPLES = toydata.labelled(12, seed=8)


@dataclass
class Quick:
    """What ``artifact.save`` needs, before and after ``finish``."""

    blueprint: Blueprint
    built: Built
    tasks: list
    ever: Chosen

    @property
    def model(self):
        return self.built.model

    @property
    def backbone(self):
        return self.built.model.backbone

    def finish(self) -> Trained:
        return finish(self.blueprint, self.built, self.tasks, self.ever)

    def saved(self, folder, *, prove=False, examples=EXAMPLES) -> Path:
        """Finish and save; return the folder."""
        save_to(self.finish(), folder, prove=prove, examples=examples)
        return Path(folder)


def build(values, labels=LABELS, steps=4):
    """Return the model of a recipe, not trained; every task has the same labels."""
    ctx = Context()
    blueprint = plan(parse(values), installed(), ctx)
    columns = {"text": "text", "label": "label"}
    tasks = [Task(name, tuple(labels), columns) for name in blueprint.recipe.tasks]
    built = assemble(blueprint, tasks, ctx)
    epochs = blueprint.recipe.training.epochs
    return Quick(blueprint, built, tasks, plan_run(built, epochs, steps).ever)


def moved(values, labels=LABELS, size=0.2):
    """Return the model of a recipe with every tensor that ever trains moved at random."""
    quick = build(values, labels)
    generator = torch.Generator().manual_seed(31)
    with torch.no_grad():
        for parameter, _ in sorted(quick.built.names.items(), key=lambda item: item[1]):
            if parameter in quick.ever:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(size * (parameter.std(correction=0) + 0.1) * noise)
    return quick


def save_to(trained, folder, *, prove=False, examples=EXAMPLES):
    """Save a finished model with a record as a run would give."""
    entries = {
        task.name: TaskEntry(labels=list(task.labels), columns=dict(task.columns))
        for task in trained.tasks
    }
    probes = {task.name: examples for task in trained.tasks}
    return save(trained, Path(folder), Record(entries), probes, prove=prove)


def own(module, name, place, options="hub_core.options:NoOptions", **tags):
    """Announce a method that a test module brings itself."""
    tags = {key: frozenset(value) for key, value in tags.items()}
    return Method(
        name=name, summary=f"Own: {name}", factory=f"{module}:{place}", options=options, **tags
    )
