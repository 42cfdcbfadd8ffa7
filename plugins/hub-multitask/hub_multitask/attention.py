"""Attention of a task to the features that all tasks share (after MTAN; Liu et al., 2019)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from hub_core.model import Batch, Encoded, Wrapper

OPEN = 3.0
"""Bias of the mask at first: sigmoid(3) = 0.95, near the identity and not yet without slope."""


class TaskAttention(Wrapper):
    """A head that sees the shared hidden states through a mask of its task's own.

    h becomes a * h with a = sigmoid(W2 relu(W1 h + b1) + b2). W2 is 0 and b2 is 3 at first, so
    every feature goes through alike, 0.95 of it: the head begins nearly as it would without.
    """

    def __init__(self, base_layer: nn.Module, hidden: int, reduction: int) -> None:
        super().__init__(base_layer)
        self.squeeze = nn.Linear(hidden, max(1, hidden // reduction))
        self.excite = nn.Linear(self.squeeze.out_features, hidden)
        nn.init.zeros_(self.excite.weight)
        nn.init.constant_(self.excite.bias, OPEN)

    def attended(self, hidden: Tensor) -> Tensor:
        """Return the masked features, (..., D), computed in float32 as heads are."""
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float()
            return torch.sigmoid(self.excite(torch.relu(self.squeeze(hidden)))) * hidden

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return the head's scores for what its task attends to."""
        pooled = encoded.pooled
        seen = replace(
            encoded,
            hidden=self.attended(encoded.hidden),
            pooled=None if pooled is None else self.attended(pooled),
            layers=tuple(map(self.attended, encoded.layers)),
        )
        scores: Tensor = self.base_layer(seen, batch)
        return scores
