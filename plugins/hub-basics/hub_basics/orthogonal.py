"""Rows of a head that nobody trains: orthogonal, or the vertices of a simplex."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def orthogonal_rows(rows: int, width: int, generator: torch.Generator) -> Tensor:
    """Return random orthonormal rows, (rows, width), with rows <= width."""
    drawn = torch.randn(width, rows, generator=generator)
    basis, triangle = torch.linalg.qr(drawn)  # (width, rows), (rows, rows)
    signed: Tensor = basis * triangle.diagonal().sign()  # so that every rotation is as likely
    return signed.T


def simplex_rows(rows: int, width: int, generator: torch.Generator) -> Tensor:
    """Return unit rows whose pairs all have the cosine -1 / (C - 1), (C, width).

    The simplex equiangular tight frame sqrt(C / (C - 1)) U (I - 1 1^T / C), where U has
    orthonormal columns: the classifier that training ends at when classes are balanced
    (Yang et al., 2022; transposed here).

    Args:
        rows: The number C of classes, from 2 to ``width``.
        width: Numbers in a row.
        generator: Draws U.
    """
    directions = orthogonal_rows(rows, width, generator)  # U^T, (C, width)
    return math.sqrt(rows / (rows - 1)) * (directions - directions.mean(0))
