"""A head's output layer as a logistic regression on frozen vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hub_core.model import Batch, Head, TaskModel

STEPS = 200


@torch.no_grad()
def fit_output(head: Head, model: TaskModel, batches: Sequence[Batch], penalty: float) -> None:
    """Give ``head.output`` the weights that fit batches best, by L-BFGS from zero.

    What is least is ``sum of the rows' losses + penalty / 2 * ||W||^2``, for vectors of mean
    squared norm 1, whatever their scale: scikit-learn's multinomial ``LogisticRegression(C=1 /
    penalty)``.

    Args:
        head: A head with the tag ``linear-output``.
        model: Its model, in eval mode.
        batches: All training examples.
        penalty: Weight of the squared norm.
    """
    vectors = [head.vector(model.encode(batch), batch).float() for batch in batches]  # (B, D) each
    scale = torch.cat(vectors).square().sum(1).mean().sqrt().clamp_min(1e-12)
    weight = torch.zeros_like(head.output.weight, requires_grad=True)
    bias = torch.zeros(len(weight), device=weight.device, requires_grad=True)
    search = torch.optim.LBFGS(
        [weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-9
    )

    def loss() -> Tensor:
        search.zero_grad()
        with torch.enable_grad():
            rows = [
                head.loss(F.linear(own / scale, weight, bias), batch).sum()
                for own, batch in zip(vectors, batches, strict=True)
            ]
            value = torch.stack(rows).sum() + penalty / 2 * weight.square().sum()
            torch.autograd.backward(value)
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    head.output.weight.copy_(weight / scale)
    if head.output.bias is not None:
        head.output.bias.copy_(bias)
