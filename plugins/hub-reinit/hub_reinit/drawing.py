"""Matrices drawn anew: normal (BERT), Glorot and Bengio (2010), He et al. (2015), orthogonal."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

STD = 0.02


def normal(shape: torch.Size, generator: Generator) -> Tensor:
    """Return N(0, 0.02^2), cut at two deviations, as BERT begins (Devlin et al., 2019)."""
    drawn = torch.empty(shape)
    nn.init.trunc_normal_(drawn, std=STD, a=-2 * STD, b=2 * STD, generator=generator)
    return drawn


def xavier(shape: torch.Size, generator: Generator) -> Tensor:
    """Return uniform values of variance 2 / (in + out) (Glorot and Bengio, 2010, equation 16)."""
    drawn = torch.empty(shape)
    nn.init.xavier_uniform_(drawn, generator=generator)
    return drawn


def kaiming(shape: torch.Size, generator: Generator) -> Tensor:
    """Return N(0, 2 / in) (He et al., 2015, equation 10)."""
    drawn = torch.empty(shape)
    nn.init.kaiming_normal_(drawn, generator=generator)
    return drawn


def orthogonal(shape: torch.Size, generator: Generator) -> Tensor:
    """Return orthonormal rows, or columns where there are fewer of them (Saxe et al., 2014).

    Q of a Gaussian's Q R is uniform among them once each column has the sign of R's diagonal.
    """
    rows, columns = shape[0], math.prod(shape[1:])
    tall = torch.randn(max(rows, columns), min(rows, columns), generator=generator)
    basis, r = torch.linalg.qr(tall)
    columns_of_q: Tensor = basis * r.diagonal().sign()
    q = columns_of_q if rows >= columns else columns_of_q.T
    return q.reshape(shape)


DRAWN: dict[str, Callable[[torch.Size, Generator], Tensor]] = {
    "normal": normal,
    "xavier": xavier,
    "kaiming": kaiming,
    "orthogonal": orthogonal,
    "lsuv": orthogonal,  # and then scaled
}


@torch.no_grad()
def draw(module: nn.Module, own: frozenset[nn.Parameter], method: str, gen: Generator) -> None:
    """Draw a module's matrices in place; norms become (1, 0) and biases 0.

    Args:
        module: A layer, a pooler or a head, with whatever was wrapped inside it.
        own: Its parameters that may be touched: not those of adapters in it.
        method: A key of ``DRAWN``.
        gen: A CPU generator.
    """
    for inner in module.modules():
        norm = "norm" in type(inner).__name__.lower()
        for name, parameter in inner.named_parameters(recurse=False):
            if parameter not in own:
                continue
            if parameter.dim() > 1:
                parameter.copy_(DRAWN[method](parameter.shape, gen))
            elif norm or name == "bias":
                parameter.fill_(0.0 if name == "bias" else 1.0)
