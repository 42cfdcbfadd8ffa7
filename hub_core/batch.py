"""What goes through a model and what comes out: examples, rows, batches, encodings, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

Example = Mapping[str, Any]
"""One checked row of data: role to value, such as ``{"text": "Fine.", "label": "positive"}``."""

Prediction = Mapping[str, Any]
"""What a head predicts for one example, ready for JSON."""

Words = list[tuple[int, int, int] | None]
"""For each position its word: number of the text, first character, the one after its last; or None
for what is no text, such as a separator. Positions of one word have the same."""


@dataclass(frozen=True, slots=True)
class Row:
    """What goes through the model at once: an example, or one window or choice of it.

    Args:
        inputs: Input name to token ids or flags, each of the row's length.
        example: The example that it comes from.
        index: Position of that example among the examples given.
        target: What the loss compares with, or None.
        truncated: Whether the text was cut to the longest input.
    """

    inputs: Mapping[str, Sequence[int]]
    example: Example
    index: int
    target: Any = None
    truncated: bool = False

    @property
    def length(self) -> int:
        """Tokens in this row."""
        return max(len(values) for values in self.inputs.values())


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one task as tensors.

    Args:
        task: The task's name.
        rows: The rows, B of them.
        inputs: Input name to (B, T).
        targets: The head's targets, first dimension B, or None.
    """

    task: str
    rows: Sequence[Row]
    inputs: Mapping[str, Tensor]
    targets: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on ``device``."""
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        targets = None if self.targets is None else self.targets.to(device)
        return replace(self, inputs=inputs, targets=targets)


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded batch.

    Args:
        hidden: One vector per input position, (B, T, D).
        mask: 1 where a position is real, (B, T).
        pooled: What the backbone's own pooling layer gives, (B, D), where it has one.
        layers: For heads that say ``reads_layers``: what enters the first layer, then what each
            layer gives, (B, T, D) each.
    """

    hidden: Tensor
    mask: Tensor
    pooled: Tensor | None = None
    layers: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """What a forward pass gives: the encoded input and the head's scores."""

    encoded: Encoded
    scores: Tensor


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenized input and whether it was cut."""

    inputs: Mapping[str, Sequence[int]]
    truncated: bool = False
