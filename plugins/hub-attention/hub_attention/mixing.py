"""A learned mixture of a backbone's layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ScalarMix(nn.Module):
    """``gamma * sum_j softmax(w)_j h_j`` over all layers (Peters et al., 2018, equation 1).

    It begins with the plain mean. With ``norm`` every vector is scaled to mean 0 and deviation 1
    first, each by itself, so that a row never depends on its neighbours.

    Args:
        layers: How many there are, with the embeddings.
        norm: Whether vectors are scaled.
    """

    def __init__(self, layers: int, *, norm: bool) -> None:
        super().__init__()
        self.norm = norm
        self.logits = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Return (B, T, D) for as many (B, T, D)."""
        stack = torch.stack([layer.float() for layer in layers])  # (L, B, T, D)
        if self.norm:
            stack = F.layer_norm(stack, stack.shape[-1:])
        return self.gamma * torch.einsum("l,lbtd->btd", self.shares(), stack)

    def shares(self) -> Tensor:
        """Return each layer's share, (L,)."""
        return self.logits.softmax(0)
