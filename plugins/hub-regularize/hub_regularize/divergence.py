"""How far two predictions of one text are apart, whatever the head predicts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hub_core.model import Head


def divergence(head: Head, one: Tensor, two: Tensor) -> Tensor:
    """Return the divergence between each row's scores, (B,), symmetric and at least 0.

    What the head reads as its target says what its scores are. One label: ``KL(p || q) +
    KL(q || p)`` of their softmax. Several labels: the same of each label's yes and no, their mean.
    Anything else, such as a number: the mean squared difference.

    Args:
        head: The head.
        one: Scores, (B, C).
        two: Other scores of the same rows, (B, C).
    """
    one, two = one.float(), two.float()
    kinds = {column.kind for column in head.reads(head.options) if column.target}
    if kinds == {"label"} and one.shape[-1] == len(head.task.labels):
        return _symmetric(one.log_softmax(-1), two.log_softmax(-1)).sum(-1)
    if kinds == {"labels"}:
        return (_symmetric(F.logsigmoid(one), F.logsigmoid(two))
                + _symmetric(F.logsigmoid(-one), F.logsigmoid(-two))).mean(-1)  # fmt: skip
    return (one - two).square().flatten(1).mean(1)


def _symmetric(one: Tensor, two: Tensor) -> Tensor:
    """Return each outcome's share of ``KL(p || q) + KL(q || p)``, of logarithms of p and q.

    The sum is ``(p - q) (log p - log q)``, which cannot become negative by rounding.
    """
    difference: Tensor = (one.exp() - two.exp()) * (one - two)
    return torch.nan_to_num(difference, nan=0.0)  # an outcome that is impossible in both
