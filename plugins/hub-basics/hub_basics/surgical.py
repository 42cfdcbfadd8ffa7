"""Which neighbouring blocks the training data ask to change (Lee et al., 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from hub_core.gradients import gradients_of
from hub_core.model import Batch, TaskModel

Squares = Mapping[str, tuple[float, float]]
"""Name of a block to the squared norms of its gradients, their mean, and of its parameters."""


def squares_of(
    model: TaskModel, blocks: Mapping[str, nn.Module], batches: Sequence[Batch]
) -> Squares:
    """Return each block's squared gradient norm, the mean over batches, and that of its values.

    Args:
        model: The model.
        blocks: Name to block.
        batches: Batches with targets, one at least.
    """
    parameters = {name: list(block.parameters()) for name, block in blocks.items()}
    everything = list(dict.fromkeys(p for own in parameters.values() for p in own))
    gradients = dict.fromkeys(everything, 0.0)
    for batch in batches:
        found = gradients_of(model, batch, everything)
        for parameter, gradient in zip(everything, found, strict=True):
            gradients[parameter] += _square(gradient) / len(batches)
    return {
        name: (sum(gradients[p] for p in own), sum(_square(p) for p in own))
        for name, own in parameters.items()
    }


def _square(tensor: Tensor) -> float:
    return float(tensor.detach().float().square().sum())


def relative(squares: Squares, *names: str) -> float:
    """Return the relative gradient norm ||g|| / ||theta|| of some blocks taken together."""
    gradient, values = (sum(squares[name][k] for name in names) for k in (0, 1))
    return math.sqrt(gradient / values) if values else 0.0


def best_neighbours(squares: Squares, count: int) -> list[str]:
    """Return the ``count`` neighbouring blocks with the largest relative gradient norm."""
    names = list(squares)
    windows = [names[first : first + count] for first in range(len(names) - count + 1)]
    return max(windows, key=lambda window: relative(squares, *window))
