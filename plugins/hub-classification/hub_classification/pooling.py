"""Hidden states (B, T, D) with a mask (B, T) become one vector (B, D)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hub_core.model import Backbone, Encoded

POOLER = "pooler"


def first(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the vector of the first position that is not padding."""
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.int().argmax(1)]


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the vector of the last position that is not padding."""
    flipped = mask.int().flip(1).argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.shape[1] - 1 - flipped]


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over positions that are not padding."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp_min(1)


def maximum(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the largest value of each dimension over positions that are not padding."""
    return hidden.masked_fill(~mask.bool().unsqueeze(-1), float("-inf")).amax(1)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "first": first,
    "mean": mean,
    "max": maximum,
    "last": last,
}
NAMES = (*POOLINGS, POOLER)
"""All poolings; artifacts hold the number of theirs, so a new one goes to the end."""


def number_of(wanted: str, backbone: Backbone) -> int:
    """Return the number of a pooling, ``auto`` being what suits the backbone."""
    return NAMES.index(backbone.pooling if wanted == "auto" else wanted)


def pooled(number: int, encoded: Encoded) -> Tensor:
    """Return one vector for each row in float32, (B, D), by the number of a pooling."""
    if NAMES[number] == POOLER:
        assert encoded.pooled is not None
        return encoded.pooled.float()
    return POOLINGS[NAMES[number]](encoded.hidden.float(), encoded.mask)
