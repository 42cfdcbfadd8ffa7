"""Layer-sequential unit variance (Mishkin and Matas, 2016, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

CLOSE, TRIES = 0.1, 10


Layers = Mapping[nn.Linear, nn.Parameter]
"""Layers to their weights, which a parametrization may hold elsewhere than the layer."""


@torch.no_grad()
def unit_variance(layers: Layers, run: Callable[[], Any]) -> None:
    """Divide weights by the deviation of their layer's outputs, in the order in which they run.

    Args:
        layers: The layers to scale, their weights being orthonormal.
        run: Runs the model on a batch.
    """
    for linear in _in_order(layers, run):
        for _ in range(TRIES):
            variance = float(_outputs(linear, run).double().var(correction=0))
            if abs(variance - 1) < CLOSE or variance == 0:
                break
            layers[linear].div_(variance**0.5)


def _in_order(layers: Layers, run: Callable[[], Any]) -> list[nn.Linear]:
    ran: list[nn.Linear] = []
    with _watched(layers, lambda linear, _: ran.append(linear)):
        run()
    return list(dict.fromkeys(ran))


def _outputs(linear: nn.Linear, run: Callable[[], Any]) -> Tensor:
    seen: list[Tensor] = []
    with _watched([linear], lambda _, outputs: seen.append(outputs.flatten())):
        run()
    return torch.cat(seen)


@contextmanager
def _watched(
    linears: Iterable[nn.Linear], tell: Callable[[nn.Linear, Tensor], None]
) -> Iterator[None]:
    handles = [
        linear.register_forward_hook(lambda layer, _, outputs: tell(layer, outputs))
        for linear in linears
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
