"""The data of every task of a recipe: read, checked and split before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hub_core import data
from hub_core.build import Blueprint
from hub_core.data import TaskData
from hub_core.declare import Column, Task
from hub_core.errors import DataError
from hub_core.model import Example
from hub_core.recipe import TaskRecipe


def read_data(blueprint: Blueprint, given: Any = None) -> dict[str, TaskData]:
    """Read, check and split the data of every task.

    Raises:
        DataError: Whatever is wrong with them.
    """
    tasks = blueprint.recipe.tasks
    sources = _by_task(list(tasks), given)
    return {name: _task_data(blueprint, name, tasks[name], sources.get(name)) for name in tasks}


def _by_task(names: Sequence[str], given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and set(given) <= set(names):
        return given
    if len(names) > 1:
        raise DataError(
            "the recipe has several tasks", hint=f"give data = {{task: …}} for {', '.join(names)}"
        )
    return {names[0]: given}


def _sources(task: TaskRecipe, given: Any) -> dict[str, Any]:
    """Return split to source, or to the share of the training data that becomes it."""
    sources = {"train": task.data, "validation": task.validation, "test": task.test}
    if isinstance(given, Mapping):
        missing = [split for split in ("validation", "test") if split not in given]
        return {**dict(given), **dict.fromkeys(missing, 0)}
    return sources if given is None else sources | {"train": given}


def _task_data(blueprint: Blueprint, name: str, task: TaskRecipe, given: Any) -> TaskData:
    sources = _sources(task, given)
    if sources.get("train") is None:
        raise DataError(
            f"task {name} has no training data", hint=f"give --data, or tasks.{name}.data"
        )
    head = blueprint.heads[name]
    wanted: Sequence[Column] = head.provided.factory().columns
    table = data.read_table(sources.pop("train"))
    names = data.columns_of(table, wanted, task.columns)
    examples = data.examples_of(table, wanted, names, task.labels)
    labels = tuple(task.labels or data.labels_in(examples, wanted))
    found = Task(name, labels, names)
    head.provided.factory().plan(head.options, found)
    generator = torch.Generator().manual_seed(blueprint.recipe.training.seed)
    stratum = next((c.role for c in wanted if c.kind == "label"), "")
    splits: dict[str, list[Example]] = {"train": examples, "validation": [], "test": []}
    whole = len(examples)
    for split in ("test", "validation"):
        source = sources.get(split) or 0
        if not isinstance(source, int | float):
            other = data.read_table(source)
            own = data.columns_of(other, wanted, task.columns)
            splits[split] = data.examples_of(other, wanted, own, labels or None)
        elif source:
            share = source * whole / len(splits["train"])
            splits["train"], splits[split] = data.split_off(
                splits["train"], share, stratum, generator
            )
            if not splits[split]:
                raise DataError(
                    f"task {name}: {whole} examples are too few to split off {source:.0%}",
                    hint=f"give more data, or tasks.{name}.{split} = 0",
                )
    return TaskData(found, splits)
