"""Any number of labels for each example: a yes or no for every one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from hub_classification.heads import PAIR, TEXT, Pooled, grown
from hub_classification.options import MultiLabelOptions
from hub_core.declare import Column, Task
from hub_core.errors import DataError
from hub_core.model import Backbone, Batch, Example, Prediction

LABELS = Column(
    "labels", "labels", ("labels", "label", "classes", "categories", "tags"), target=True
)


class MultiLabel(Pooled):
    """Any number of labels for each example: sigmoid and binary cross-entropy of every label."""

    columns: ClassVar = (TEXT, PAIR, LABELS)
    metric: ClassVar = "micro_f1"

    def __init__(self, options: MultiLabelOptions, task: Task, backbone: Backbone) -> None:
        super().__init__(options, task, backbone, len(task.labels))

    @classmethod
    def reads(cls, options: MultiLabelOptions) -> tuple[Column, ...]:
        """Return the columns, with the separator of labels that are written as one text."""
        return TEXT, PAIR, replace(LABELS, separator=options.separator)

    @classmethod
    def plan(cls, options: MultiLabelOptions, task: Task) -> None:
        """Refuse a task without a label."""
        if not task.labels:
            raise DataError(
                f"task {task.name}: no example has a label", hint="check the column of the labels"
            )

    def grow(self, tensors: Mapping[str, Tensor], labels: Sequence[str]) -> dict[str, Tensor]:
        """Return the old labels' rows of weight and bias, the new ones' as initialized."""
        return grown(self, tensors, labels)

    def target(self, example: Example) -> list[int] | None:
        """Return 1 for every label that the example has, and 0 for the others."""
        if "labels" not in example:
            return None
        return [int(label in example["labels"]) for label in self.task.labels]

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the binary cross-entropy of each row, its mean over the labels, (B,)."""
        assert batch.targets is not None
        targets = batch.targets.to(scores.dtype)  # (B, labels)
        return F.binary_cross_entropy_with_logits(scores, targets, reduction="none").mean(1)

    def ideal_scores(self, batch: Batch) -> Tensor:
        """Return 1 for each of a row's labels and 0 for the others, (B, labels)."""
        assert batch.targets is not None
        return batch.targets.float()

    def predict(self, decoded: Sequence[Tensor], rows: Sequence[object]) -> list[Prediction]:
        """Return the labels whose probability reaches the threshold, and every probability."""
        return [self._prediction(scores.sigmoid().tolist()) for scores in decoded]

    def _prediction(self, probabilities: list[float]) -> Prediction:
        found = dict(zip(self.task.labels, probabilities, strict=True))
        return {
            "labels": [name for name, p in found.items() if p >= self.options.threshold],
            "probabilities": found,
        }

    def metrics(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Return micro F1, macro F1, subset accuracy and average precision.

        Macro F1 is the mean over the labels that occur in truth or prediction, average precision
        over those that occur in truth; both are 0 where no label does.
        """
        import numpy as np
        from sklearn.metrics import average_precision_score, f1_score

        names = self.task.labels
        truth = np.array([self.target(example) for example in examples])  # (N, labels)
        guess = np.array([self.target(prediction) for prediction in predictions])
        likely = np.array([[p["probabilities"][name] for name in names] for p in predictions])
        either, known = (truth | guess).any(0), truth.any(0)
        f1 = f1_score(truth, guess, average=None, zero_division=0.0)
        precision = [average_precision_score(truth[:, k], likely[:, k]) for k in known.nonzero()[0]]
        return {
            "micro_f1": float(f1_score(truth, guess, average="micro", zero_division=0.0)),
            "macro_f1": float(np.mean(f1[either])) if either.any() else 0.0,
            "subset_accuracy": float((truth == guess).all(1).mean()),
            "average_precision": float(np.mean(precision)) if precision else 0.0,
        }
