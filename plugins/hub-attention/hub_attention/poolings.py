"""Hidden states (B, T, D) with a mask (B, T) become one vector (B, width) by learned weights.

Every pooling computes in the precision that it is given; padding neither attends nor is attended
to. Those with an ``attention`` give it in hops: K distributions over the positions, (B, K, T).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST = 1e-6
"""What is left of a value at the bottom of its dimension, so that its power has a gradient."""


class Pooling(nn.Module):
    """The base: a pooling that has no attention says None.

    Args:
        width: Length of the vector that it gives.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def attention(self, hidden: Tensor, mask: Tensor) -> Tensor | None:
        """Return the weight of every position in every hop, (B, K, T), or None."""
        return None

    def forward(self, hidden: Tensor, mask: Tensor, attention: Tensor | None) -> Tensor:
        """Return (B, width); ``attention`` is what the method of that name gives."""
        raise NotImplementedError


class SelfAttention(Pooling):
    """``A = softmax(W2 tanh(W1 H^T))``, then ``A H`` as one vector (Lin et al., 2017).

    Args:
        hidden: Width D of the hidden states.
        units: Width of the layer between, d_a in the paper.
        hops: Distributions over the positions, r in the paper.
    """

    def __init__(self, hidden: int, units: int, hops: int) -> None:
        super().__init__(hops * hidden)
        self.inner = nn.Linear(hidden, units, bias=False)
        self.outer = nn.Linear(units, hops, bias=False)

    def attention(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return A, (B, hops, T)."""
        logits = self.outer(torch.tanh(self.inner(hidden))).transpose(1, 2)  # (B, hops, T)
        return _shares(logits, mask[:, None])

    def forward(self, hidden: Tensor, mask: Tensor, attention: Tensor | None) -> Tensor:
        """Return the mean of the positions by each hop's weights, one after the other."""
        assert attention is not None
        return (attention @ hidden).flatten(1)


class Additive(SelfAttention):
    """``u = tanh(W h + b)``, ``a = softmax(u . u_w)``, ``s = sum a h`` (Yang et al., 2016).

    One hop of the above whose layer between has a bias, and whose context vector is u_w.
    """

    def __init__(self, hidden: int, units: int) -> None:
        super().__init__(hidden, units, hops=1)
        self.inner = nn.Linear(hidden, units)


class MultiHead(Pooling):
    """Learned queries attend in several heads; what they find is added to the mean.

    Pooling by multi-head attention (Lee et al., 2019, equation 11) with the mean as its residual;
    the output layer begins with zeros, so that training begins with the mean.

    Args:
        hidden: Width D of the hidden states, which the heads share evenly.
        queries: How many vectors it looks for.
        heads: In how many parts of the width.
    """

    def __init__(self, hidden: int, queries: int, heads: int) -> None:
        super().__init__(queries * hidden)
        self.heads = heads
        self.queries = nn.Parameter(torch.randn(queries, hidden))
        self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(3))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def attention(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return the weights of each query in each head, (B, queries * heads, T)."""
        queries, keys = self._split(self.queries), self._split(self.key(hidden))
        logits = torch.einsum("qnd,btnd->bqnt", queries, keys) / math.sqrt(queries.shape[-1])
        return _shares(logits, mask[:, None, None]).flatten(1, 2)

    def forward(self, hidden: Tensor, mask: Tensor, attention: Tensor | None) -> Tensor:
        """Return the mean and what each query found, one after the other."""
        assert attention is not None
        weights = attention.view(len(hidden), -1, self.heads, hidden.shape[1])  # (B, Q, heads, T)
        values = self._split(self.value(hidden))
        found = torch.einsum("bqnt,btnd->bqnd", weights, values).flatten(2)  # (B, Q, D)
        pooled: Tensor = _mean(hidden, mask)[:, None] + self.out(found)
        return pooled.flatten(1)

    def _split(self, vectors: Tensor) -> Tensor:
        """Return (..., heads, D / heads) for (..., D)."""
        return vectors.view(*vectors.shape[:-1], self.heads, -1)


class Concat(Pooling):
    """One end, the maximum and the mean, beside each other (Howard and Ruder, 2018).

    Args:
        hidden: Width D of the hidden states.
        end: ``first`` or ``last`` position that is not padding.
    """

    def __init__(self, hidden: int, end: str) -> None:
        super().__init__(3 * hidden)
        self.end = end

    def forward(self, hidden: Tensor, mask: Tensor, attention: Tensor | None) -> Tensor:
        """Return end, maximum and mean, (B, 3 D)."""
        there = mask.bool()
        places = torch.arange(mask.shape[1], device=mask.device).expand_as(there)
        if self.end == "first":
            place = places.masked_fill(~there, mask.shape[1] - 1).amin(1)
        else:
            place = places.masked_fill(~there, 0).amax(1)
        end = hidden[torch.arange(len(hidden), device=hidden.device), place]
        largest = hidden.masked_fill(~there[..., None], -math.inf).amax(1)
        return torch.cat([end, largest, _mean(hidden, mask)], 1)


class GeneralizedMean(Pooling):
    """``(mean of x^p)^(1/p)`` for each dimension, p being learned (Radenović et al., 2018).

    p is 1 and what a softplus adds: at 1 it is the mean, towards infinity the maximum. A negative
    number has no such power, so a dimension that has one is moved up by its lowest value before,
    and down again after; where nothing is negative, it is the paper's formula. Powers and sums are
    taken of logarithms, which no p overflows.

    Args:
        hidden: Width D of the hidden states.
        power: The p that training begins with, above 1.
    """

    def __init__(self, hidden: int, power: float) -> None:
        super().__init__(hidden)
        self.excess = nn.Parameter(torch.tensor([math.log(math.expm1(power - 1))]))

    @property
    def power(self) -> Tensor:
        """The exponent p, 1 or more, (1,)."""
        power: Tensor = 1 + F.softplus(self.excess)
        return power

    def forward(self, hidden: Tensor, mask: Tensor, attention: Tensor | None) -> Tensor:
        """Return the generalized mean, (B, D)."""
        return generalized_mean(hidden, mask, self.power)


def generalized_mean(hidden: Tensor, mask: Tensor, power: Tensor) -> Tensor:
    """Return the generalized mean over the positions that are not padding, (B, D).

    Args:
        hidden: Hidden states (B, T, D).
        mask: 1 where a position is real, (B, T).
        power: The exponent p, 1 or more.
    """
    padding = ~mask.bool()[..., None]
    base = hidden.masked_fill(padding, math.inf).amin(1, keepdim=True).clamp_max(0)  # (B, 1, D)
    logs = (hidden - base).clamp_min(SMALLEST).log()
    total = (power * logs).masked_fill(padding, -math.inf).logsumexp(1)
    return base[:, 0] + ((total - mask.sum(1, keepdim=True).log()) / power).exp()


def _shares(logits: Tensor, mask: Tensor) -> Tensor:
    """Return a softmax over the last dimension that leaves padding out."""
    return logits.masked_fill(~mask.bool(), -math.inf).softmax(-1)


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the positions that are not padding, (B, D)."""
    weights = mask.to(hidden.dtype)
    return torch.einsum("bt,btd->bd", weights / weights.sum(1, keepdim=True), hidden)
