"""One label for each example: attention over positions, then one linear layer, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_attention.mixing import ScalarMix
from hub_attention.options import AttentionOptions
from hub_attention.poolings import (
    Additive,
    Concat,
    GeneralizedMean,
    MultiHead,
    Pooling,
    SelfAttention,
)
from hub_core.declare import Column, Task
from hub_core.errors import DataError, IncompatibleError
from hub_core.model import Backbone, Batch, Encoded, Example, Head, Prediction, Row

SECONDS = ("pair", "sentence2", "hypothesis", "question2", "text2")
COLUMNS = (
    Column("text", "text", ("text", "sentence", "sentence1", "premise", "question1", "content")),
    Column("pair", "text", SECONDS, required=False),
    Column("label", "label", ("label", "labels", "class", "category"), target=True),
)


class AttentionClassification(Head):
    """One label for each example, from positions weighed by attention, perhaps of all layers.

    With ``orthogonality`` the loss of a row has ``||A A^T - I||^2`` of its attention in it (Lin et
    al., 2017, equation 8). It is that of the last forward pass, in training alone.
    """

    weights: Tensor

    columns: ClassVar = COLUMNS
    metric: ClassVar = "accuracy"

    def __init__(self, options: AttentionOptions, task: Task, backbone: Backbone) -> None:
        super().__init__(options, task, backbone)
        self.numbers = {label: number for number, label in enumerate(task.labels)}
        self.register_buffer("weights", torch.ones(len(task.labels)), persistent=False)
        self.reads_layers = options.mix
        if options.mix:
            self.mix = ScalarMix(len(backbone.layout.layers) + 1, norm=options.mix_norm)
        self.pool = pooling_for(options, backbone.layout.hidden, task)
        self.dropout = nn.Dropout(options.dropout)
        self.output = nn.Linear(self.pool.width, len(task.labels))
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)
        self._overlap: Tensor | None = None

    @classmethod
    def plan(cls, options: AttentionOptions, task: Task) -> None:
        """Refuse a task with fewer than two labels."""
        if len(task.labels) < 2:
            found = f"only the label '{task.labels[0]}'" if task.labels else "no label"
            raise DataError(
                f"task {task.name}: the data have {found}, attention-classification needs two "
                "or more",
                hint="check the label column",
            )

    # -- from examples to scores

    def features(self, examples: Sequence[Example], backbone: Backbone) -> list[Row]:
        """Tokenize the texts or pairs, one row for each example."""
        pairs = [e["pair"] for e in examples] if all("pair" in e for e in examples) else None
        tokens = backbone.tokenize([e["text"] for e in examples], pairs)
        return [
            Row(found.inputs, example, i, self._target(example), found.truncated)
            for i, (found, example) in enumerate(zip(tokens, examples, strict=True))
        ]

    def _target(self, example: Example) -> int | None:
        return self.numbers[example["label"]] if "label" in example else None

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores (B, labels)."""
        vector = self.vector(encoded, batch)
        with torch.autocast(vector.device.type, enabled=False):
            scores: Tensor = self.output(self.dropout(vector))
        return scores

    def vector(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return the pooled positions, (B, D); its attention's overlap is kept for the loss."""
        with torch.autocast(encoded.hidden.device.type, enabled=False):
            hidden, mask = self._read(encoded), encoded.mask
            attention = self.pool.attention(hidden, mask)
            costs = self.training and self.options.orthogonality and attention is not None
            self._overlap = overlap(attention) if costs and attention is not None else None
            found: Tensor = self.pool(hidden, mask, attention)
        return found

    def attention(self, encoded: Encoded, batch: Batch) -> Tensor | None:
        """Return what each hop attends to, (B, hops, T); of several heads, each is a hop."""
        with torch.autocast(encoded.hidden.device.type, enabled=False):
            return self.pool.attention(self._read(encoded), encoded.mask)

    def _read(self, encoded: Encoded) -> Tensor:
        """Return the hidden states to pool, (B, T, D)."""
        if self.reads_layers:
            mixed: Tensor = self.mix(encoded.layers)
            return mixed
        return encoded.hidden.float()

    # -- learning

    def observe(self, examples: Sequence[Example]) -> None:
        """Count the labels, so that all of them together weigh the same."""
        if self.options.class_weights == "balanced":
            counts = torch.zeros(len(self.numbers))
            for example in examples:
                counts[self.numbers[example["label"]]] += 1
            self.weights.copy_(counts.sum() / (len(counts) * counts.clamp_min(1)))

    def advice(self, counts: Mapping[str, int]) -> str:
        """Name the option by which rare labels count more, where it is not used."""
        if self.options.class_weights == "balanced":
            return ""
        return 'the option class_weights = "balanced" of its head makes rare labels count more'

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return each row's weighted cross-entropy and what its hops' overlap costs, (B,)."""
        assert batch.targets is not None
        loss = F.cross_entropy(scores, batch.targets, self.weights, reduction="none")
        if self._overlap is not None:
            loss = loss + self.options.orthogonality * self._overlap
        return loss

    def ideal_scores(self, batch: Batch) -> Tensor:
        """Return 1 for each row's label and 0 for the others, (B, labels)."""
        assert batch.targets is not None
        return F.one_hot(batch.targets, len(self.numbers)).float()

    def grow(self, tensors: Mapping[str, Tensor], labels: Sequence[str]) -> dict[str, Tensor]:
        """Return the old labels' rows of the last layer, and all that is before it as trained."""
        rows = [self.numbers[label] for label in labels]
        grown = {name: t.detach().clone() for name, t in self.output.named_parameters("output")}
        for name, own in grown.items():
            own[rows] = tensors[name].to(own.device)
        return {**tensors, **grown}

    # -- telling

    def facts(self) -> dict[str, str]:
        """Return how positions and layers are put together."""
        found = {"pooling": self.options.pooling}
        if isinstance(self.pool, GeneralizedMean):
            found["power"] = f"{self.pool.power.item():.4g}"
        if self.reads_layers:
            shares = " ".join(f"{share:.3f}" for share in self.mix.shares().tolist())
            found["mix of layers"] = f"{shares}, times {self.mix.gamma.item():.3f}"
        return found

    def predict(self, decoded: Sequence[Tensor], rows: Sequence[Row]) -> list[Prediction]:
        """Return the likeliest label and the probability of each."""
        return [self._prediction(scores.softmax(0)) for scores in decoded]

    def _prediction(self, shares: Tensor) -> Prediction:
        best = int(shares.argmax())
        probabilities = dict(zip(self.task.labels, shares.tolist(), strict=True))
        label = self.task.labels[best]
        return {
            "label": label,
            "probability": probabilities[label],
            "probabilities": probabilities,
        }

    def metrics(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Return accuracy, macro F1 over the labels that occur, and Matthews' correlation.

        Where there is one label alone, the correlation is not defined and counts as 0.
        """
        from sklearn import metrics

        guess = [prediction["label"] for prediction in predictions]
        truth = [example["label"] for example in examples]
        alone = len({*guess, *truth}) == 1
        return {
            "accuracy": float(metrics.accuracy_score(truth, guess)),
            "macro_f1": float(metrics.f1_score(truth, guess, average="macro", zero_division=0.0)),
            "matthews": 0.0 if alone else float(metrics.matthews_corrcoef(truth, guess)),
        }


def overlap(attention: Tensor) -> Tensor:
    """Return ``||A A^T - I||^2``, the squared Frobenius norm, of every row's hops, (B,)."""
    alike = attention @ attention.transpose(1, 2)  # (B, K, K)
    same = torch.eye(alike.shape[1], device=alike.device)
    return (alike - same).square().sum((1, 2))


def pooling_for(options: AttentionOptions, hidden: int, task: Task) -> Pooling:
    """Return the pooling that the options name.

    Args:
        options: The head's options.
        hidden: Width of the hidden states.
        task: Whose head it is.

    Raises:
        IncompatibleError: The heads cannot share the width evenly.
    """
    if options.pooling == "multi-head":
        if hidden % options.heads:
            fits = max(n for n in range(1, options.heads) if hidden % n == 0)
            raise IncompatibleError(
                f"task {task.name}: {options.heads} heads cannot share hidden states of width "
                f"{hidden} evenly",
                hint=f"set attention-classification.heads to a divisor of {hidden}, such as {fits}",
            )
        return MultiHead(hidden, options.queries, options.heads)
    if options.pooling == "self-attention":
        return SelfAttention(hidden, options.width, options.hops)
    if options.pooling == "additive":
        return Additive(hidden, options.width)
    if options.pooling == "concat":
        return Concat(hidden, options.end)
    return GeneralizedMean(hidden, options.power)
