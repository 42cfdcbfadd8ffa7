"""A task's scores on its validation data, with the range and without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hub_core.batch import Batch
from hub_core.model import TaskModel
from hub_range.ranged import Ranged


@dataclass(frozen=True, slots=True)
class Measured:
    """Scores and losses of N rows, on the processor.

    Args:
        plain: The head's own scores, (N, C).
        served: The scores in the range, before any temperature, (N, C).
        plain_loss: Mean loss of the plain scores.
        served_loss: Mean loss of the scores in the range.
        targets: The labels' numbers, (N,), where there is one label for each row.
    """

    plain: Tensor
    served: Tensor
    plain_loss: float
    served_loss: float
    targets: Tensor | None


@torch.no_grad()
def measured(model: TaskModel, head: Ranged, batches: Sequence[Batch]) -> Measured:
    """Score a task's batches with the range and without it."""
    model.eval()
    judge = model.head(batches[0].task).loss
    plain, losses = [], []
    for batch in batches:
        scores = head.plain(model.encode(batch), batch)
        both = [judge(z, batch).double().sum() for z in (scores, head.shaped(scores))]
        plain.append(scores)
        losses.append(torch.stack(both))
    scores = torch.cat(plain)
    served = head.shaped(scores).float().cpu()
    plain_loss, served_loss = (torch.stack(losses).sum(0) / len(scores)).tolist()
    return Measured(scores.float().cpu(), served, plain_loss, served_loss, _labels(batches, scores))


def _labels(batches: Sequence[Batch], scores: Tensor) -> Tensor | None:
    """Return the labels' numbers; None where a row has several labels, or a number."""
    found = [batch.targets for batch in batches if batch.targets is not None]
    targets = torch.cat(found).cpu()
    one = targets.dim() == 1 and not targets.is_floating_point() and scores.shape[1:].numel() > 1
    return targets if one else None
