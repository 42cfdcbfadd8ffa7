"""A head that writes every method a head can write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_core.declare import Column, Task
from hub_core.errors import DataError
from hub_core.model import (
    Backbone,
    Batch,
    Encoded,
    Example,
    Head,
    Prediction,
    Row,
    TaskModel,
)


class FrozenLabel(Head):
    """One label for the mean of a text's vectors."""

    metric: ClassVar = "accuracy"
    columns: ClassVar = (
        Column("text", "text", ("text",)),
        Column("label", "label", names=("label",), required=True, target=True),
    )
    frozen_seen: Tensor

    def __init__(self, options: Any, task: Task, backbone: Backbone) -> None:
        super().__init__(options, task, backbone)
        self.frozen_output = nn.Linear(backbone.layout.hidden, len(task.labels))
        self.register_buffer("frozen_seen", torch.zeros(()))

    @classmethod
    def plan(cls, options: Any, task: Task) -> None:
        """Refuse a single label."""
        if len(task.labels) < 2:
            raise DataError(f"task {task.name}: two labels or more are needed")

    @classmethod
    def reads(cls, options: Any) -> tuple[Column, ...]:
        """Return text and label."""
        return cls.columns

    def features(self, examples: Sequence[Example], backbone: Backbone) -> list[Row]:
        """Return one row for each text."""
        tokens = backbone.tokenize([example["text"] for example in examples])
        numbers = {label: number for number, label in enumerate(self.task.labels)}
        return [
            Row(t.inputs, e, i, numbers[e["label"]] if "label" in e else None, t.truncated)
            for i, (t, e) in enumerate(zip(tokens, examples, strict=True))
        ]

    def observe(self, examples: Sequence[Example]) -> None:
        """Count the training examples."""
        self.frozen_seen.fill_(len(examples))

    def facts(self) -> dict[str, str]:
        """Return the pooling."""
        return {"pooling": "mean"}

    def advice(self, counts: Mapping[str, int]) -> str:
        """Return what helps against rare labels."""
        return "give it more examples"

    def grow(self, tensors: Mapping[str, Tensor], labels: Sequence[str]) -> dict[str, Tensor]:
        """Refuse as the core does."""
        return super().grow(tensors, labels)

    def collate(self, rows: Sequence[Row], backbone: Backbone) -> Batch:
        """Return the rows as a batch."""
        batch = super().collate(rows, backbone)
        return Batch(self.task.name, batch.rows, batch.inputs, batch.targets)

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores, (B, labels)."""
        mask = encoded.mask[..., None].float()
        return self.frozen_output((encoded.hidden.float() * mask).sum(1) / mask.sum(1))

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy of each row, (B,)."""
        return F.cross_entropy(scores.float(), batch.targets, reduction="none")

    def decode(self, scores: Tensor, batch: Batch, model: TaskModel) -> list[Any]:
        """Return each row's scores."""
        return super().decode(scores, batch, model)

    def predict(self, decoded: Sequence[Any], rows: Sequence[Row]) -> list[Prediction]:
        """Return the best label."""
        return [{"label": self.task.labels[int(scores.argmax())]} for scores in decoded]

    def metrics(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Return the share of right labels."""
        pairs = zip(predictions, examples, strict=True)
        right = [found["label"] == example["label"] for found, example in pairs]
        return {"accuracy": sum(right) / max(1, len(right))}
