"""Toy heads: a label for a text, and a label for every word of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from hub_core.declare import Column, Task
from hub_core.errors import DataError
from hub_core.model import Backbone, Batch, Encoded, Example, Head, Prediction, Row


def share_of_equal(pairs: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    """Return the share of pairs that are equal, as the toys' only metric."""
    return {"accuracy": sum(a == b for a, b in pairs) / max(1, len(pairs))}


class ToyHead(Head):
    """A linear layer whose outputs are the task's labels."""

    metric: ClassVar = "accuracy"

    def __init__(self, options: Any, task: Task, backbone: Backbone) -> None:
        super().__init__(options, task, backbone)
        self.output = nn.Linear(backbone.layout.hidden, len(task.labels))
        self.numbers = {label: number for number, label in enumerate(task.labels)}

    @classmethod
    def plan(cls, options: Any, task: Task) -> None:
        """Refuse a task with fewer than two labels."""
        if len(task.labels) < 2:
            raise DataError(f"task {task.name}: two labels or more are needed")


class ToyLabel(ToyHead):
    """One label for the mean of a text's vectors."""

    columns: ClassVar = (
        Column("text", "text", ("text",)),
        Column("label", "label", ("label",), target=True),
    )

    def features(self, examples: Sequence[Example], backbone: Backbone) -> list[Row]:
        """Return one row for each text."""
        tokens = backbone.tokenize([e["text"] for e in examples])
        return [
            Row(t.inputs, e, i, self.numbers[e["label"]] if "label" in e else None, t.truncated)
            for i, (t, e) in enumerate(zip(tokens, examples, strict=True))
        ]

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores (B, labels)."""
        scores: Tensor = self.output(self.vector(encoded, batch))
        return scores

    def vector(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return what the backbone's pooler gives, or the mean of each text's vectors, (B, D)."""
        if encoded.pooled is not None:
            return encoded.pooled.float()
        mask = encoded.mask[..., None].float()
        return (encoded.hidden.float() * mask).sum(1) / mask.sum(1)

    def ideal_scores(self, batch: Batch) -> Tensor:
        """Return 1 for each row's label and 0 for the others, (B, labels)."""
        assert batch.targets is not None
        return F.one_hot(batch.targets, len(self.task.labels)).float()

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy of each row, (B,)."""
        assert batch.targets is not None
        return F.cross_entropy(scores.float(), batch.targets, reduction="none")

    def predict(self, decoded: Sequence[Any], rows: Sequence[Row]) -> list[Prediction]:
        """Return the best label."""
        return [{"label": self.task.labels[int(scores.argmax())]} for scores in decoded]

    def metrics(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Return the share of right labels."""
        pairs = zip(predictions, examples, strict=True)
        return share_of_equal([(found["label"], e["label"]) for found, e in pairs])


class ToyWords(ToyHead):
    """One label for each word; only for backbones with a vector for each word."""

    columns: ClassVar = (
        Column("tokens", "tokens", ("tokens",)),
        Column("tags", "tags", ("tags",), target=True),
    )

    def features(self, examples: Sequence[Example], backbone: Backbone) -> list[Row]:
        """Return one row for each text; what was cut has no targets.

        Raises:
            DataError: A text has another number of labels than of words.
        """
        for number, example in enumerate(examples, start=1):
            if "tags" in example and len(example["tags"]) != len(example["tokens"]):
                raise DataError(f"text {number} has another number of labels than of words")
        tokens = backbone.tokenize([" ".join(e["tokens"]) for e in examples])
        return [
            Row(t.inputs, e, i, self._target(e, t.inputs), t.truncated)
            for i, (t, e) in enumerate(zip(tokens, examples, strict=True))
        ]

    def _target(self, example: Example, inputs: Any) -> list[int] | None:
        if "tags" not in example:
            return None
        length = len(next(iter(inputs.values())))
        return [self.numbers[tag] for tag in example["tags"][:length]]

    def collate(self, rows: Sequence[Row], backbone: Backbone) -> Batch:
        """Pad the targets with -100."""
        targets = None
        if all(row.target is not None for row in rows):
            targets = pad_sequence([torch.tensor(row.target) for row in rows], True, -100)
        inputs = backbone.collate([row.inputs for row in rows])
        return Batch(self.task.name, rows, inputs, targets)

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores (B, T, labels)."""
        scores: Tensor = self.output(encoded.hidden.float())
        return scores

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over each row's words, (B,)."""
        assert batch.targets is not None
        known = batch.targets != -100
        found = F.cross_entropy(scores.float().transpose(1, 2), batch.targets, reduction="none")
        return (found * known).sum(1) / known.sum(1)

    def decode(self, scores: Tensor, batch: Batch, model: Any) -> list[Any]:
        """Return each row's scores without the padding."""
        return [s[: row.length].float() for s, row in zip(scores, batch.rows, strict=True)]

    def predict(self, decoded: Sequence[Any], rows: Sequence[Row]) -> list[Prediction]:
        """Return the best label of every word."""
        labels = self.task.labels
        return [{"tags": [labels[i] for i in s.argmax(-1).tolist()]} for s in decoded]

    def metrics(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Return the share of right words."""
        pairs = [
            pair
            for found, example in zip(predictions, examples, strict=True)
            for pair in zip(found["tags"], example["tags"], strict=False)
        ]
        return share_of_equal(pairs)
