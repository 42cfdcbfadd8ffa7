"""Tensors that are mostly zeros, stored as the places and values of the others; nothing is lost.

A tensor ``NAME`` becomes ``NAME|places``, one bit for each element, ``NAME|values``, the elements
whose bit is 1 in order, and ``NAME|shape``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from hub_core.errors import IntegrityError

PLACES, VALUES, SHAPE = "|places", "|values", "|shape"
SMALLEST = 1024
"""Elements below which a tensor is stored as it is."""


def packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors for a file: those that become smaller in packed form, the others as is."""
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        there = _worth_packing(tensor)
        result |= {name: tensor} if there is None else _pack(name, tensor, there)
    return result


def stored_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return the bytes of what ``packed`` would return, packing nothing."""
    pairs = ((tensor, _worth_packing(tensor)) for tensor in tensors.values())
    return sum(t.nbytes if there is None else _packed_bytes(t, there) for t, there in pairs)


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that ``packed`` was given, to the bit.

    Raises:
        IntegrityError: Places, values and shape of a tensor do not belong together.
    """
    result = {name: t for name, t in tensors.items() if not name.endswith((PLACES, VALUES, SHAPE))}
    for key in tensors:
        if key.endswith(PLACES):
            name = key.removesuffix(PLACES)
            try:
                result[name] = _unpack(*(tensors[name + end] for end in (PLACES, VALUES, SHAPE)))
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                raise IntegrityError(f"the packed tensor {name} is damaged: {error}") from None
    return result


def _worth_packing(tensor: Tensor) -> Tensor | None:
    """Return where a tensor has other bits than 0, (N,), if it becomes smaller when packed."""
    if tensor.numel() < SMALLEST or tensor.dtype == torch.bool:
        return None
    flat = tensor.detach().cpu().contiguous().flatten()
    there = (flat.view(torch.uint8).reshape(len(flat), -1) != 0).any(1)  # the sign of -0.0 is a bit
    return there if _packed_bytes(tensor, there) < tensor.nbytes else None


def _packed_bytes(tensor: Tensor, there: Tensor) -> int:
    """Return the bytes of places, values and shape."""
    return -(-len(there) // 8) + int(there.sum()) * tensor.element_size() + 8 * tensor.ndim


def _pack(name: str, tensor: Tensor, there: Tensor) -> dict[str, Tensor]:
    places = torch.from_numpy(np.packbits(there.numpy()))
    values = tensor.detach().cpu().flatten()[there]
    shape = torch.tensor(tensor.shape, dtype=torch.int64)
    return {name + PLACES: places, name + VALUES: values, name + SHAPE: shape}


def _unpack(places: Tensor, values: Tensor, shape: Tensor) -> Tensor:
    sizes = [int(size) for size in shape.tolist()]
    count = math.prod(sizes)
    if min(sizes, default=0) < 0 or len(places) != -(-count // 8):  # before memory is taken
        raise ValueError(f"{len(places)} bytes of places do not fit the shape {sizes}")
    there = torch.from_numpy(np.unpackbits(places.numpy(), count=count).astype(bool))
    if int(there.sum()) != len(values):
        raise ValueError(f"there are {len(values)} values for {int(there.sum())} places")
    flat = torch.zeros(count, dtype=values.dtype)
    flat[there] = values
    return flat.reshape(sizes)
