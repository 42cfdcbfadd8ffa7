"""The data of every task of a recipe: read, checked and split before anything is built."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hub_core import data
from hub_core.build import Blueprint
from hub_core.data import TaskData
from hub_core.declare import Column, Task
from hub_core.errors import DataError
from hub_core.model import Example
from hub_core.recipe import TaskRecipe
from hub_core.sources import Source, splits_of
from hub_core.tables import Table
from hub_core.values import is_absent

log = logging.getLogger("hub_core")

VALIDATION = ("validation", "valid", "dev")
"""What a data set may call the split that validates, best first."""


def read_data(
    blueprint: Blueprint,
    given: Any = None,
    folder: Path | None = None,
    *,
    extend: bool = False,
) -> dict[str, TaskData]:
    """Read, check and split the data of every task.

    Args:
        blueprint: The recipe's.
        given: Data in place of the recipe's, or None.
        folder: Where data are stored that are larger than ``training.memory_limit``.
        extend: Labels that the recipe does not name are no error, but come after those it names.

    Raises:
        DataError: Whatever is wrong with them.
    """
    tasks = blueprint.recipe.tasks
    sources = _by_task(list(tasks), given)
    return {
        name: _Reading(blueprint, name, folder, extend=extend).run(sources.get(name))
        for name in tasks
    }


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
    if isinstance(given, Mapping):
        missing = [split for split in ("validation", "test") if split not in given]
        return {**dict(given), **dict.fromkeys(missing, 0)}
    sources = {"train": task.data, "validation": task.validation, "test": task.test}
    if given is not None:
        sources["train"] = given
    own = _own_splits(sources["train"])
    return sources | {s: o for s, o in own.items() if s not in task.model_fields_set}


def _own_splits(source: Any) -> dict[str, Source]:
    """Return the splits that a data set has itself, by what they are for."""
    found = splits_of(source)
    if not found:
        return {}
    if "train" not in found:
        if len(found) == 1:
            return {"train": next(iter(found.values()))}
        first = next(iter(found.values()))
        raise DataError(
            f"{source}: has no split train, but {', '.join(found)}",
            hint=f"say which one trains, such as {first.label}",
        )
    names = {"train": "train", "test": "test"}
    names |= {"validation": next((n for n in VALIDATION if n in found), "validation")}
    return {split: found[name] for split, name in names.items() if name in found}


class _Reading:
    """Reads the data of one task."""

    def __init__(
        self, blueprint: Blueprint, name: str, folder: Path | None, *, extend: bool
    ) -> None:
        self.name, self.folder, self.extend = name, folder, extend
        self.recipe = blueprint.recipe.tasks[name]
        self.training = blueprint.recipe.training
        self.head = blueprint.heads[name]
        self.wanted: Sequence[Column] = self.head.provided.factory().reads(self.head.options)

    def run(self, given: Any) -> TaskData:
        """Return the task with its splits."""
        sources = _sources(self.recipe, given)
        if sources.get("train") is None:
            raise DataError(
                f"task {self.name} has no training data",
                hint=f"give --data, or tasks.{self.name}.data",
            )
        table = self._table(sources["train"])
        names = data.columns_of(table, self.wanted, self.recipe.columns)
        examples = self._examples(table, names, None if self.extend else self.recipe.labels)
        labels = tuple(self.recipe.labels or ())
        if self.extend or not labels:
            labels = tuple(dict.fromkeys((*labels, *data.labels_in(examples, self.wanted))))
        task = Task(self.name, labels, names)
        self.head.provided.factory().plan(self.head.options, task)
        return TaskData(task, self._splits(examples, sources, labels))

    def _table(self, source: Any) -> Table:
        table = data.read_table(source, self.training.memory_limit * 2**20)
        if table.streamed:
            log.info("task %s: %s is larger than training.memory_limit = %d MiB, so it is read "
                     "from disk", self.name, table.source, self.training.memory_limit)  # fmt: skip
        return table

    def _examples(
        self, table: Table, names: Mapping[str, str], labels: Sequence[str] | None
    ) -> Sequence[Example]:
        return data.examples_of(table, self.wanted, names, labels, self.folder)

    def _splits(
        self, train: Sequence[Example], sources: Mapping[str, Any], labels: Sequence[str]
    ) -> dict[str, Sequence[Example]]:
        generator = torch.Generator().manual_seed(self.training.seed)
        splits: dict[str, Sequence[Example]] = {"train": train, "validation": [], "test": []}
        for split in ("test", "validation"):
            source = sources.get(split) or 0
            if not isinstance(source, int | float):
                found = self._given(split, source, labels)
                source = getattr(self.recipe, split) if found is None else 0
                splits[split] = found or []
            if isinstance(source, int | float) and source:
                share = source * len(train) / len(splits["train"])
                splits["train"], splits[split] = self._split_off(splits["train"], share, generator)
                if not splits[split]:
                    raise DataError(
                        f"task {self.name}: {len(train)} examples are too few to split off "
                        f"{source:.0%}",
                        hint=f"give more data, or tasks.{self.name}.{split} = 0",
                    )
        return splits

    def _given(self, split: str, source: Any, labels: Sequence[str]) -> Sequence[Example] | None:
        """Return the examples of a source; None for a data set's own split without targets."""
        table = self._table(source)
        names = data.columns_of(table, self.wanted, self.recipe.columns)
        targets = [names[c.role] for c in self.wanted if c.target and c.role in names]
        told = any(not is_absent(row.get(name)) for row in table.rows for name in targets)
        if isinstance(source, Source) and targets and not told:
            log.warning("task %s: %s has no labels, so it is not used as %s data",
                        self.name, source.label, split)  # fmt: skip
            return None
        return self._examples(table, names, labels or None)

    def _split_off(
        self, examples: Sequence[Example], share: float, generator: torch.Generator
    ) -> tuple[Sequence[Example], Sequence[Example]]:
        stratum = next((c.role for c in self.wanted if c.kind in ("label", "labels")), "")
        return data.split_off(examples, share, stratum, generator)
