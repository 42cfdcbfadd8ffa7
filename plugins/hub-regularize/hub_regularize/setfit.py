"""Tuning on a few labels: the encoder on pairs of sentences, then the head in closed form.

SetFit (Tunstall et al., 2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from hub_core.declare import Clock, Stage, Task
from hub_core.errors import DataError
from hub_core.model import Batch, Example, Head, Output, TaskModel
from hub_core.part import Chosen, Context, Losses, Part
from hub_regularize.fitting import fit_output

CONTRAST, HEAD = "contrast", "head"
CHUNK = 32
"""Examples that are encoded at once where the head is fitted."""


def pair_loss(vectors: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared difference of cosine similarities from 1 or 0.

    All pairs count, those of the same label, which should have 1, half, and the others, which
    should have 0, half.

    Args:
        vectors: One per text, (N, D).
        labels: The number of each text's label, (N,); two of them at least.
    """
    unit = F.normalize(vectors.float(), dim=1)
    same = labels[:, None] == labels  # (N, N)
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    errors = (unit @ unit.T - same.float()).square()
    return (errors[same & others].mean() + errors[~same].mean()) / 2


class SetFit(Part):
    """The encoder learns from pairs of sentences, then the head is fitted to what it has learned.

    Each example comes ``iterations`` times an epoch, each time with an example of its label and
    one of another, drawn at random (section 3 of the paper); all pairs that stand together in a
    batch count. Whatever other parts open trains; if none does, all of the encoder. At the end of
    each epoch the head becomes a logistic regression on the encoder's vectors. In the second stage
    it goes on from there on the frozen encoder, with all that other parts add to its loss.
    """

    narrows: ClassVar = True  # it asks what the others have opened
    learning_rate_hint: ClassVar = 1e-4

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._examples: dict[str, Sequence[Example]] = {}
        self._numbers: dict[str, dict[str, list[int]]] = {}

    def stages(self, ctx: Context) -> tuple[Stage, ...]:
        """Return the encoder's stage, then the head's with its own rate."""
        share = self.options.head_share
        return (
            Stage(CONTRAST, 1 - share),
            Stage(HEAD, share, self.options.head_learning_rate),
        )

    def examples(self, examples: Sequence[Example], task: Task, ctx: Context) -> Sequence[Example]:
        """Keep the examples as partners and repeat them, so that an epoch has all its pairs."""
        numbers: dict[str, list[int]] = {}
        for number, example in enumerate(examples):
            numbers.setdefault(example["label"], []).append(number)
        if len(numbers) < 2:
            raise DataError(
                f"task {task.name}: all training examples have the label '{next(iter(numbers))}', "
                "and setfit needs pairs of different labels",
                hint="add examples of another label",
            )
        self._examples[task.name], self._numbers[task.name] = examples, numbers
        return [e for _ in range(self.options.iterations) for e in examples]

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Keep everything but the heads for pairs; afterwards the heads."""
        heads = model.head_parameters()
        if clock.stage == HEAD:
            return chosen & heads
        opened = chosen - heads
        return opened if opened - model.backbone.fresh else model.body_parameters()

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Replace the task's loss by that of pairs, until the head's turn comes."""
        if clock.stage == HEAD:
            return
        head, groups = model.head(batch.task), self._numbers[batch.task]
        labels = [row.example["label"] for row in batch.rows]
        drawn = [number for label in labels for number in _partners(groups, label)]
        partners = _batch(head, model, [self._examples[batch.task][n] for n in drawn])
        vectors = [
            head.vector(output.encoded, batch),
            head.vector(model.encode(partners), partners),
        ]
        labels += [row.example["label"] for row in partners.rows]
        numbers = torch.tensor([list(groups).index(label) for label in labels])
        losses.scale("task", 0.0)
        losses.add("setfit", pair_loss(torch.cat(vectors), numbers.to(vectors[0].device)))

    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Fit every head to the vectors that the encoder gives at the end of an epoch."""
        if clock.stage == HEAD or (clock.step + 1) % (clock.steps // clock.epochs):
            return
        model.eval()  # an epoch begins with setting all modes
        for task, examples in self._examples.items():
            head = model.head(task)
            starts = range(0, len(examples), CHUNK)
            batches = [_batch(head, model, examples[n : n + CHUNK]) for n in starts]
            fit_output(head, model, batches, self.options.penalty)

    def servable(self, model: TaskModel, clock: Clock) -> bool:
        """Return whether the head's turn has come."""
        return clock.stage == HEAD


def _partners(groups: Mapping[str, Sequence[int]], label: str) -> Iterator[int]:
    """Draw the number of an example with this label, then of one with another."""
    others = [number for other in groups if other != label for number in groups[other]]
    for numbers in (groups[label], others):
        yield numbers[int(torch.randint(len(numbers), ()))]


def _batch(head: Head, model: TaskModel, examples: Sequence[Example]) -> Batch:
    device = next(model.parameters()).device
    rows = head.features(examples, model.backbone)
    return head.collate(rows, model.backbone).to(device)
