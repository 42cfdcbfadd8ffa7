"""The diagonal of the empirical Fisher information, and the weights where it is largest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hub_core.gradients import gradients_of
from hub_core.model import Batch, Row, TaskModel


def fisher_of(
    model: TaskModel, batches: Sequence[Batch], parameters: Sequence[nn.Parameter]
) -> Tensor:
    """Return the mean over batches of squared gradients of their mean loss, as one vector (N,).

    Of single examples this is the diagonal of the empirical Fisher information (Sung et al.,
    2021, equation 5); of larger batches, what Child-Tuning takes for it (Xu et al., 2021).
    """
    total = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
    for batch in batches:
        found = gradients_of(model, batch, parameters)
        total += torch.cat([gradient.float().flatten() for gradient in found]).square_()
    return total / len(batches)


def largest(values: Tensor, count: int) -> Tensor:
    """Return the places of the ``count`` largest values, in rising order, (count,)."""
    return values.topk(count).indices.sort().values


def drawn(model: TaskModel, batches: Sequence[Batch], samples: int, size: int) -> list[Batch]:
    """Return the first rows of batches as batches of another size, as many of every task.

    Args:
        model: The model, whose heads collate.
        batches: Where the rows come from.
        samples: Rows in all, or fewer where there are not as many.
        size: Rows in a batch.
    """
    rows: dict[str, list[Row]] = {}
    for batch in batches:
        rows.setdefault(batch.task, []).extend(batch.rows)
    share, device = -(-samples // len(rows)), next(model.parameters()).device
    return [
        model.head(task).collate(own[start : min(start + size, share)], model.backbone).to(device)
        for task, own in rows.items()
        for start in range(0, min(share, len(own)), size)
    ]
