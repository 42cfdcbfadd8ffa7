"""Predictions and metrics of a finished model, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub_core.data import Table, batches_of, columns_of, examples_of, read_table
from hub_core.declare import Task
from hub_core.errors import DataError, near
from hub_core.manifest import Manifest
from hub_core.model import Example, Prediction, Row, TaskModel

BATCH_TOKENS = 4096
BATCH_EXAMPLES = 256


def run(model: TaskModel, task: str, rows: Sequence[Row]) -> list[Any]:
    """Return what a task's head keeps of each row, in the rows' order."""
    head = model.head(task)
    device = next(model.parameters()).device
    kept: dict[int, Any] = {}
    position = {id(row): index for index, row in enumerate(rows)}
    model.eval()
    with torch.inference_mode():
        for part in batches_of(rows, BATCH_TOKENS, BATCH_EXAMPLES):
            batch = head.collate(part, model.backbone).to(device)
            decoded = head.decode(model(batch).scores, batch, model)
            kept.update(zip((position[id(row)] for row in part), decoded, strict=True))
    return [kept[index] for index in range(len(rows))]


def predict(model: TaskModel, task: str, examples: Sequence[Example]) -> list[Prediction]:
    """Return a task's predictions for examples, in order."""
    head = model.head(task)
    rows = head.features(examples, model.backbone)
    return head.predict(run(model, task, rows), rows)


def measure(model: TaskModel, task: str, examples: Sequence[Example]) -> dict[str, float]:
    """Return a task's metrics on examples."""
    return model.head(task).metrics(predict(model, task, examples), examples)


class Predictor:
    """A finished model with what its manifest says about it.

    Args:
        model: The served model, in eval mode.
        tasks: Its tasks.
        manifest: The artifact's manifest, or None for a model that was not saved.
        folder: The artifact's folder, or None.
    """

    def __init__(
        self,
        model: TaskModel,
        tasks: Sequence[Task],
        manifest: Manifest | None = None,
        folder: Path | None = None,
    ) -> None:
        self.model = model
        self.tasks = {task.name: task for task in tasks}
        self.manifest = manifest
        self.folder = folder

    def task(self, name: str = "") -> Task:
        """Return a task by name, or the only one.

        Raises:
            DataError: There is no such task, or there are several and none was named.
        """
        if name in self.tasks:
            return self.tasks[name]
        known = ", ".join(self.tasks)
        if name:
            hint = near(name, self.tasks) or f"it has {known}"
            raise DataError(f"this model has no task '{name}'", hint=hint)
        if len(self.tasks) > 1:
            raise DataError("this model has several tasks", hint=f"name one of {known} with --task")
        return next(iter(self.tasks.values()))

    def predict(
        self, inputs: Sequence[str] | Sequence[Mapping[str, Any]], *, task: str = ""
    ) -> list[Prediction]:
        """Predict texts, or mappings of role to value for heads that read more than a text.

        Raises:
            DataError: An input lacks what the head reads; rows are counted from 1.
        """
        chosen = self.task(task)
        head = self.model.head(chosen.name)
        wanted = [column for column in head.columns if not column.target]
        rows: list[dict[str, Any]] = [
            {wanted[0].role: i} if isinstance(i, str) else dict(i) for i in inputs
        ]
        if not rows:
            return []
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = Table("input", columns, rows)
        roles = {column.role: column.role for column in wanted if column.role in columns}
        examples = examples_of(table, wanted, columns_of(table, wanted, roles), None)
        return predict(self.model, chosen.name, examples)

    def evaluate(
        self, data: Any, *, task: str = "", columns: Mapping[str, str] | None = None
    ) -> tuple[dict[str, float], int]:
        """Return metrics on labelled data, and how many examples there were.

        Args:
            data: What ``hub_core.data.read_table`` reads.
            task: The task; may be left out if there is one.
            columns: Role to column name, where they differ from those in training.

        Raises:
            DataError: The data do not fit the task.
        """
        chosen = self.task(task)
        examples = self.examples(data, chosen, columns or {})
        return measure(self.model, chosen.name, examples), len(examples)

    def examples(self, data: Any, task: Task, columns: Mapping[str, str]) -> list[Example]:
        """Return checked examples of a task, with columns named as in training where they are."""
        table = read_table(data)
        head = self.model.head(task.name)
        trained = {role: name for role, name in task.columns.items() if name in table[1]}
        names = columns_of(table, head.columns, trained | dict(columns))
        return examples_of(table, head.columns, names, task.labels or None)

    def scores(self, examples: Sequence[Example], *, task: str = "") -> Tensor:
        """Return the scores of examples as one tensor (N, ...), such as a teacher gives."""
        name = self.task(task).name
        rows = self.model.head(name).features(examples, self.model.backbone)
        return torch.stack(run(self.model, name, rows))
