"""Predictions and metrics of a finished model, in float32 where nobody asks for less."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub_core.data import (
    Table,
    batch_numbers,
    columns_of,
    examples_of,
    picked,
    read_table,
)
from hub_core.declare import Task
from hub_core.errors import DataError, near
from hub_core.manifest import Manifest
from hub_core.model import Batch, Example, Prediction, Row, TaskModel
from hub_core.predictions import HELD_OUT, Judged
from hub_core.rows import rows_of
from hub_core.wording import shown

BATCH_TOKENS = 2048
BATCH_EXAMPLES = 256


def run(
    model: TaskModel,
    task: str,
    rows: Sequence[Row],
    *,
    precision: str = "fp32",
    keep: Callable[[Batch], Sequence[Any]] | None = None,
) -> list[Any]:
    """Return what is kept of each row, in the rows' order.

    Args:
        model: The model.
        task: The task.
        rows: The rows.
        precision: ``bf16`` computes matrix products in bfloat16; else as the caller does.
        keep: Returns what is kept of a batch's rows; by default what the task's head decodes.
    """
    head = model.head(task)
    device = next(model.parameters()).device
    kept: dict[int, Any] = {}
    model.eval()
    fast = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
    with torch.inference_mode(), fast:
        for numbers in batch_numbers(rows, BATCH_TOKENS, BATCH_EXAMPLES):
            batch = head.collate(list(picked(rows, numbers)), model.backbone).to(device)
            found = keep(batch) if keep else head.decode(model(batch).scores, batch, model)
            kept.update(zip(numbers, found, strict=True))
    return [kept[index] for index in range(len(rows))]


def predict(
    model: TaskModel, task: str, examples: Sequence[Example], *, precision: str = "fp32"
) -> list[Prediction]:
    """Return a task's predictions for examples, in order."""
    rows = rows_of(model.head(task), examples, model.backbone)
    return predict_rows(model, task, rows, precision=precision)


def predict_rows(
    model: TaskModel, task: str, rows: Sequence[Row], *, precision: str = "fp32"
) -> list[Prediction]:
    """Return a task's predictions for the examples that rows were made of, in order."""
    return model.head(task).predict(run(model, task, rows, precision=precision), rows)


def measure(model: TaskModel, task: str, examples: Sequence[Example]) -> dict[str, float]:
    """Return a task's metrics on examples."""
    return model.head(task).metrics(predict(model, task, examples), examples)


def held_out(
    model: TaskModel,
    task: str,
    splits: Mapping[str, Sequence[Example]],
    known: Mapping[str, Sequence[Row]],
) -> tuple[dict[str, dict[str, float]], list[Judged]]:
    """Measure a task on every split but training.

    Args:
        model: The finished model.
        task: The task.
        splits: Split to examples.
        known: Split to its rows, where the texts have been tokenized already.

    Returns:
        Split to metrics; and what is predicted on the test split, else on validation.
    """
    metrics: dict[str, dict[str, float]] = {}
    kept: list[Judged] = []
    for split in reversed(HELD_OUT):
        if examples := splits.get(split):
            rows = known.get(split) or rows_of(model.head(task), examples, model.backbone)
            found = predict_rows(model, task, rows)
            metrics[split] = model.head(task).metrics(found, examples)
            kept = _judged(model, task, split, examples, found)
    return metrics, kept


def _judged(
    model: TaskModel,
    task: str,
    split: str,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
) -> list[Judged]:
    targets = {column.role for column in model.head(task).columns if column.target}
    return [
        Judged(
            split,
            {role: value for role, value in example.items() if role not in targets},
            {role: value for role, value in example.items() if role in targets},
            dict(prediction),
        )
        for example, prediction in zip(examples, predictions, strict=True)
    ]


class Predictor:
    """A finished model with what its manifest says about it.

    Args:
        model: The served model, in eval mode.
        tasks: Its tasks.
        manifest: The artifact's manifest, or None for a model that was not saved.
        folder: The artifact's folder, or None.

    Attributes:
        precision: ``fp32``, in which artifacts are proven, or ``bf16``, which is faster where the
            processor has it; probabilities then differ by some thousandths.
    """

    precision: str = "fp32"

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
        examples = self.given(inputs, task=task)
        return predict(self.model, self.task(task).name, examples, precision=self.precision)

    def given(
        self, inputs: Sequence[str] | Sequence[Mapping[str, Any]], *, task: str = ""
    ) -> Sequence[Example]:
        """Return what ``predict`` takes as checked examples, without targets.

        Raises:
            DataError: An input lacks what the head reads; rows are counted from 1.
        """
        head = self.model.head(self.task(task).name)
        wanted = [column for column in head.reads(head.options) if not column.target]
        rows = _input_rows(inputs, [column.role for column in wanted])
        if not rows:
            return []
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = Table("input", columns, rows)
        roles = {column.role: column.role for column in wanted if column.role in columns}
        return examples_of(table, wanted, columns_of(table, wanted, roles), None)

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

    def examples(self, data: Any, task: Task, columns: Mapping[str, str]) -> Sequence[Example]:
        """Return checked examples of a task, with columns named as in training where they are."""
        table = read_table(data)
        head = self.model.head(task.name)
        trained = {role: name for role, name in task.columns.items() if name in table[1]}
        wanted = head.reads(head.options)
        names = columns_of(table, wanted, trained | dict(columns))
        return examples_of(table, wanted, names, task.labels or None)

    def scores(self, examples: Sequence[Example], *, task: str = "") -> Tensor:
        """Return the scores of examples as one tensor (N, ...), such as a teacher gives.

        Raises:
            DataError: There is no example, so the scores have no shape.
        """
        name = self.task(task).name
        if not examples:
            raise DataError("there are no examples to score", hint="give one or more")
        rows = rows_of(self.model.head(name), examples, self.model.backbone)
        return torch.stack(run(self.model, name, rows))


def _input_rows(inputs: Any, roles: Sequence[str]) -> list[dict[str, Any]]:
    """Return each input as role to value; what is no mapping is the value of the first role.

    Raises:
        DataError: It is a single input and no list of them, or a mapping has other keys than names.
    """
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable):
        raise DataError(
            f"predict takes a list of inputs, not {_kind(inputs)}",
            hint="give a list, also for a single input: predict([…])",
        )
    rows = [dict(one) if isinstance(one, Mapping) else {roles[0]: one} for one in inputs]
    for number, row in enumerate(rows, start=1):
        for key in row:
            if not isinstance(key, str):
                raise DataError(
                    f"input: row {number} has the key {shown(key)}, which is no name",
                    hint=f"this head reads {', '.join(roles)}",
                )
    return rows


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "a single text"
    return "a single mapping" if isinstance(value, Mapping) else type(value).__name__
