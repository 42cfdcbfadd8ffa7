"""Classification and regression: pooling, dropout and one linear layer, in float32."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_classification.calibration import calibration_error
from hub_classification.options import ClassificationOptions, PooledOptions
from hub_classification.pooling import NAMES, number_of, pooled
from hub_core.declare import Column, Task
from hub_core.errors import DataError
from hub_core.model import Backbone, Batch, Encoded, Example, Head, Prediction, Row

TEXT = Column("text", "text", ("text", "sentence", "sentence1", "premise", "question1", "content"))
PAIR = Column(
    "pair", "text", ("pair", "sentence2", "hypothesis", "question2", "text2"), required=False
)


class Pooled(Head):
    """A linear layer over the pooled hidden states; how they are pooled is kept as a buffer.

    The buffer makes the artifact complete: ``auto`` asks the backbone's files, which may differ
    where it is loaded.
    """

    pooling: Tensor

    def __init__(
        self, options: PooledOptions, task: Task, backbone: Backbone, outputs: int
    ) -> None:
        super().__init__(options, task, backbone)
        self.register_buffer("pooling", torch.tensor(number_of(options.pooling, backbone)))
        self.dropout = nn.Dropout(options.dropout)
        self.output = nn.Linear(backbone.layout.hidden, outputs)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def features(self, examples: Sequence[Example], backbone: Backbone) -> list[Row]:
        """Tokenize the texts or pairs, one row for each example."""
        pairs = [e["pair"] for e in examples] if all("pair" in e for e in examples) else None
        tokens = backbone.tokenize([e["text"] for e in examples], pairs)
        return [
            Row(found.inputs, example, index, self.target(example), found.truncated)
            for index, (found, example) in enumerate(zip(tokens, examples, strict=True))
        ]

    def facts(self) -> dict[str, str]:
        """Return how the hidden states are pooled."""
        return {"pooling": NAMES[int(self.pooling)]}

    def target(self, example: Example) -> Any:
        """Return what the loss compares with, or None for an example without a target."""
        raise NotImplementedError

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores (B, outputs)."""
        vector = self.vector(encoded, batch)
        with torch.autocast(vector.device.type, enabled=False):
            scores: Tensor = self.output(self.dropout(vector))
        return scores

    def vector(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return the pooled hidden states, (B, D)."""
        return pooled(int(self.pooling), encoded)


def grown(head: Pooled, tensors: Mapping[str, Tensor], labels: Sequence[str]) -> dict[str, Tensor]:
    """Return a head's tensors where each of its outputs is a label, and some labels are new.

    Args:
        head: A head with a row of ``output`` for each of its task's labels.
        tensors: The tensors of one that was trained with fewer labels.
        labels: The labels it was trained with.
    """
    rows = [head.task.labels.index(label) for label in labels]
    result = dict(tensors)
    for name in ("output.weight", "output.bias"):
        result[name] = head.get_parameter(name).detach().clone()
        result[name][rows] = tensors[name].to(result[name].device)
    return result


class Classification(Pooled):
    """One label for each example: softmax and cross-entropy.

    How much each label's loss counts is learned in ``observe``, for training alone.
    """

    weights: Tensor

    columns: ClassVar = (
        TEXT,
        PAIR,
        Column("label", "label", ("label", "labels", "class", "category"), target=True),
    )
    metric: ClassVar = "accuracy"

    def __init__(self, options: ClassificationOptions, task: Task, backbone: Backbone) -> None:
        super().__init__(options, task, backbone, len(task.labels))
        self.balanced = getattr(options, "class_weights", "none") == "balanced"
        self.register_buffer("weights", torch.ones(len(task.labels)), persistent=False)
        self.numbers = {label: number for number, label in enumerate(task.labels)}

    @classmethod
    def plan(cls, options: ClassificationOptions, task: Task) -> None:
        """Refuse a task with fewer than two labels."""
        if len(task.labels) < 2:
            found = f"only the label '{task.labels[0]}'" if task.labels else "no label"
            raise DataError(
                f"task {task.name}: the data have {found}, classification needs two or more",
                hint="check the label column, or use the head regression for numbers",
            )

    def grow(self, tensors: Mapping[str, Tensor], labels: Sequence[str]) -> dict[str, Tensor]:
        """Return the old labels' rows of weight and bias, the new ones' as initialized."""
        return grown(self, tensors, labels)

    def observe(self, examples: Sequence[Example]) -> None:
        """Count the labels, so that all of them together weigh the same: n / (k * n_c)."""
        if self.balanced:
            targets = torch.tensor([self.numbers[example["label"]] for example in examples])
            counts = targets.bincount(minlength=len(self.numbers)).clamp_min(1)
            self.weights.copy_(len(targets) / (len(counts) * counts))

    def advice(self, counts: Mapping[str, int]) -> str:
        """Name the option by which rare labels count more, where it is not used."""
        if self.balanced:
            return ""
        return 'the option class_weights = "balanced" of its head makes rare labels count more'

    def target(self, example: Example) -> int | None:
        """Return the label's number."""
        return self.numbers[example["label"]] if "label" in example else None

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy of each row times its label's weight, (B,)."""
        weights = self.weights if self.balanced else None
        return F.cross_entropy(scores, batch.targets, weights, reduction="none")

    def ideal_scores(self, batch: Batch) -> Tensor:
        """Return 1 for each row's label and 0 for the others, (B, labels)."""
        assert batch.targets is not None
        return F.one_hot(batch.targets, len(self.task.labels)).float()

    def predict(self, decoded: Sequence[Tensor], rows: Sequence[Row]) -> list[Prediction]:
        """Return the best label and the probability of every label."""
        return [self._prediction(scores.softmax(0).tolist()) for scores in decoded]

    def _prediction(self, probabilities: list[float]) -> Prediction:
        labels = self.task.labels
        best = max(range(len(labels)), key=probabilities.__getitem__)
        return {
            "label": labels[best],
            "probability": probabilities[best],
            "probabilities": dict(zip(labels, probabilities, strict=True)),
        }

    def metrics(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Return accuracy, macro F1 over the labels that occur, Matthews' correlation, calibration.

        The correlation with a constant is not defined; it counts as 0. The calibration error is
        the better the smaller it is.
        """
        from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

        truth = [example["label"] for example in examples]
        guess = [prediction["label"] for prediction in predictions]
        labels = sorted(set(truth) | set(guess))
        right = [a == b for a, b in zip(truth, guess, strict=True)]
        f1 = f1_score(truth, guess, labels=labels, average="macro", zero_division=0.0)
        return {
            "accuracy": float(accuracy_score(truth, guess)),
            "macro_f1": float(f1),
            "matthews": float(matthews_corrcoef(truth, guess)) if len(labels) > 1 else 0.0,
            "calibration_error": calibration_error([p["probability"] for p in predictions], right),
        }


class Regression(Pooled):
    """A number for each example: squared error on targets scaled to mean 0 and deviation 1.

    The scale comes from the training data and is kept as a buffer (2,), mean and deviation.
    """

    columns: ClassVar = (
        TEXT,
        PAIR,
        Column("score", "score", ("score", "label", "rating", "similarity", "value"), target=True),
    )
    metric: ClassVar = "pearson"
    scale: Tensor

    def __init__(self, options: PooledOptions, task: Task, backbone: Backbone) -> None:
        super().__init__(options, task, backbone, 1)
        self.register_buffer("scale", torch.tensor([0.0, 1.0]))

    def observe(self, examples: Sequence[Example]) -> None:
        """Take mean and deviation from the training targets."""
        scores = torch.tensor([float(example["score"]) for example in examples])
        deviation = scores.std(correction=0).clamp_min(1e-6)
        self.scale.copy_(torch.stack([scores.mean(), deviation]))

    def target(self, example: Example) -> float | None:
        """Return the number itself; the loss scales it."""
        return float(example["score"]) if "score" in example else None

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the squared error of each row on the scaled targets, (B,)."""
        return (scores - self.ideal_scores(batch)).squeeze(1) ** 2

    def ideal_scores(self, batch: Batch) -> Tensor:
        """Return the scaled targets, (B, 1)."""
        assert batch.targets is not None
        return ((batch.targets.float() - self.scale[0]) / self.scale[1]).unsqueeze(1)

    def predict(self, decoded: Sequence[Tensor], rows: Sequence[Row]) -> list[Prediction]:
        """Return each number on the scale of the training data."""
        mean, deviation = self.scale.tolist()
        return [{"score": float(score[0]) * deviation + mean} for score in decoded]

    def metrics(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Return Pearson's and Spearman's correlation, and the root of the mean squared error.

        The correlation with a constant is not defined; it counts as 0.
        """
        from scipy.stats import DegenerateDataWarning, pearsonr, spearmanr

        truth = [float(example["score"]) for example in examples]
        guess = [prediction["score"] for prediction in predictions]
        squares = [(a - b) ** 2 for a, b in zip(truth, guess, strict=True)]
        found = {"rmse": math.sqrt(sum(squares) / len(squares))}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateDataWarning)
            for name, correlate in (("pearson", pearsonr), ("spearman", spearmanr)):
                value = float(correlate(truth, guess).statistic) if len(truth) > 1 else 0.0
                found[name] = value if math.isfinite(value) else 0.0
        return found
