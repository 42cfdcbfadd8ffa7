"""What goes through thresholds, seen on batches without padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from hub_core.batch import Batch
from hub_core.model import TaskModel
from hub_range.shrinkage import Threshold

Places = Mapping[str, Threshold]


@torch.no_grad()
def means(model: TaskModel, batches: Sequence[Batch], places: Places) -> dict[str, Tensor]:
    """Return the mean |x| of each channel that enters a threshold, (C,), by the thresholds' names.

    Those that no batch comes through are left out.
    """
    sums: dict[str, Tensor] = {}
    counts = dict.fromkeys(places, 0)
    for name, values, _ in _seen(model, batches, places):
        flat = values.abs().double().reshape(-1, values.shape[-1])
        sums[name] = sums.get(name, torch.zeros_like(flat[0])) + flat.sum(0)
        counts[name] += len(flat)
    return {name: total / counts[name] for name, total in sums.items()}


@torch.no_grad()
def share_of_zeros(model: TaskModel, batches: Sequence[Batch], places: Places) -> float:
    """Return the share of values that are exactly zero after the thresholds."""
    counts = [
        (int((result == 0).sum()), result.numel()) for _, _, result in _seen(model, batches, places)
    ]
    return sum(zeros for zeros, _ in counts) / max(1, sum(count for _, count in counts))


def _seen(
    model: TaskModel, batches: Sequence[Batch], places: Places
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield name, input and output of each threshold for each batch."""
    for batch in batches:
        with _noted(places) as noted:
            mask = model(batch).encoded.mask.bool()  # (B, T)
        for name, values, result in noted:
            real = mask if values.shape[:-1] == mask.shape else slice(None)
            yield name, values[real], result[real]


@contextmanager
def _noted(places: Places) -> Iterator[list[tuple[str, Tensor, Tensor]]]:
    noted: list[tuple[str, Tensor, Tensor]] = []

    def note(name: str, threshold: Threshold) -> torch.utils.hooks.RemovableHandle:
        return threshold.register_forward_hook(
            lambda _, inputs, result: noted.append((name, inputs[0], result))
        )

    handles = [note(name, threshold) for name, threshold in places.items()]
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()
