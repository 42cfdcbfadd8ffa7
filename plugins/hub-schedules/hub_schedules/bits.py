"""Masks as a bit for each entry: what a run decides must be small enough to keep."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PLACES = torch.arange(8, dtype=torch.uint8)


def packed(mask: Tensor) -> Tensor:
    """Return a mask (N,) as bytes, (N / 8,) rounded up."""
    bits = F.pad(mask.cpu().to(torch.uint8), (0, -len(mask) % 8)).view(-1, 8)
    return (bits << PLACES).sum(1, dtype=torch.uint8)


def unpacked(content: Tensor, count: int) -> Tensor:
    """Return the mask (count,) that was packed."""
    return ((content[:, None] >> PLACES) & 1).bool().flatten()[:count]
