"""Gradients of a model's loss outside of training, for parts that decide by them in ``observe``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hub_core.model import Batch, TaskModel


def gradients_of(
    model: TaskModel, batch: Batch, parameters: Sequence[nn.Parameter]
) -> list[Tensor]:
    """Return the gradient of a batch's mean loss for each parameter, without dropout.

    Args:
        model: The model; its modes and what of it trains are left as they were.
        batch: A batch with targets.
        parameters: Parameters of the model; one that the loss does not depend on has zeros.
    """
    with _differentiable(model, parameters):
        loss = model.head(batch.task).loss(model(batch).scores, batch).float().mean()
        if not loss.requires_grad:  # it depends on none of them
            return [torch.zeros_like(parameter) for parameter in parameters]
        found = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    pairs = zip(found, parameters, strict=True)
    return [torch.zeros_like(p) if gradient is None else gradient for gradient, p in pairs]


@contextmanager
def _differentiable(model: TaskModel, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Have only these parameters differentiable and every module in eval mode for a while."""
    needed = {parameter: parameter.requires_grad for parameter in model.parameters()}
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval().requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for parameter, before in needed.items():
            parameter.requires_grad_(before)
        for module, training in modes.items():
            module.training = training
