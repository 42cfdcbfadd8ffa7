"""Output layers computed from the training data: class means, and ridge regression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hub_core.batch import Batch
from hub_core.declare import Task
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel


@dataclass(frozen=True, slots=True)
class Moments:
    """What of N rows is needed, in float64 on the processor, and independent of N in size.

    Args:
        count: N.
        inputs: Sum of the inputs x, (D,).
        ideals: Sum of the ideal scores y, (C,).
        squares: Sum of x x', (D, D).
        products: Sum of x y', (D, C).
    """

    count: int
    inputs: Tensor
    ideals: Tensor
    squares: Tensor
    products: Tensor


@torch.no_grad()
def moments(pairs: Iterable[tuple[Tensor, Tensor]]) -> Moments:
    """Add up batches of inputs (B, D) and ideal scores (B, C)."""
    count = 0
    sums: list[Tensor] = []
    for inputs, ideals in pairs:
        x, y = inputs.detach().cpu().double(), ideals.detach().cpu().double()
        own = [x.sum(0), y.sum(0), x.T @ x, x.T @ y]
        sums = [total + new for total, new in zip(sums, own, strict=True)] if sums else own
        count += len(x)
    return Moments(count, *sums)


@torch.no_grad()
def moments_of(model: TaskModel, batches: Iterable[Batch]) -> Moments:
    """Add up what a task's output layer reads and what it should give, without dropout."""
    model.eval()

    def pair(batch: Batch) -> tuple[Tensor, Tensor]:
        head = model.head(batch.task)
        return head.vector(model.encode(batch), batch), head.ideal_scores(batch)

    return moments(map(pair, batches))


def class_means(found: Moments, task: Task) -> tuple[Tensor, Tensor]:
    """Return weights mu_c / |mu_c| (C, D) and biases (C,), as in nearest-mean classification.

    The mu_c are the classes' means less the mean of these means, which the biases take off the
    inputs (Snell et al., 2017, give each class its mean as a prototype).

    Args:
        found: Moments with ideal scores of 1 for a row's class and 0 for the others.
        task: The task, whose labels are the classes.

    Raises:
        IncompatibleError: A class has no example.
    """
    counts = found.ideals
    if empty := [name for name, n in zip(task.labels, counts.tolist(), strict=True) if n == 0]:
        raise IncompatibleError(
            f"reinit: task {task.name} has no training example of the label '{empty[0]}', so "
            "there is no mean to start from",
            hint=f"add one, take the label out of tasks.{task.name}.labels, or set "
            'method = "probe"',
        )
    means = found.products.T / counts.unsqueeze(1)  # (C, D)
    center = means.mean(0)
    weights = nn.functional.normalize(means - center, dim=1)
    return weights, -weights @ center


def ridge(found: Moments, penalty: float) -> tuple[Tensor, Tensor]:
    """Return weights (C, D) and biases (C,) that minimise |X W' + b - Y|^2 + penalty |W|^2.

    Args:
        found: The moments of X, (N, D), and Y, (N, C).
        penalty: Of all weights; 0 gives the least-squares fit with the smallest weights.
    """
    center, level = found.inputs / found.count, found.ideals / found.count
    gram = found.squares - found.count * center.outer(center)
    gram += penalty * torch.eye(len(center), dtype=gram.dtype)
    products = found.products - found.count * center.outer(level)
    fit = torch.linalg.pinv(gram, hermitian=True) @ products  # (D, C)
    return fit.T, level - center @ fit
