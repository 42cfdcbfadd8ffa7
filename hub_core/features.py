"""Hidden states of many rows, kept once: in memory, or in a memory-mapped file where that is full.

Rows are known by what goes into the model, so equal texts share their place.
"""

from __future__ import annotations

import hashlib
import logging
import os
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import torch
from torch import Tensor

from hub_core.cachefiles import CacheFile

log = logging.getLogger("hub_core")

MEMORY_SHARE = 4
"""Features stay in memory if they fit into this part of what is free."""


def key_of(inputs: Mapping[str, Sequence[int]]) -> bytes:
    """Return 16 bytes that stand for the inputs of a row."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(inputs):
        values = inputs[name]
        plain = array("q", values) if isinstance(values, list) else torch.as_tensor(values).numpy()
        digest.update(f"{name} {len(values)} ".encode())
        digest.update(plain.tobytes())
    return digest.digest()


class Features:
    """Vectors of rows, written once and read by key.

    Args:
        positions: Vectors in all, over all rows.
        width: Numbers in a vector.
        dtype: How they are kept.

    Raises:
        OSError: They do not fit into memory, and not onto the disk either.
    """

    def __init__(self, positions: int, width: int, dtype: torch.dtype) -> None:
        self.size = positions * width * dtype.itemsize
        self._places: dict[bytes, tuple[int, int]] = {}
        self._used = 0
        self._file: CacheFile | None = None
        if self.size <= psutil.virtual_memory().available // MEMORY_SHARE:
            self._store = torch.empty(positions, width, dtype=dtype)
            return
        self._file = CacheFile.create("features", self.size)
        try:
            flat = torch.from_file(
                str(self._file.path), shared=True, size=positions * width, dtype=dtype
            )
        except BaseException:
            self.close()
            raise
        self._store = flat.view(positions, width)

    @property
    def path(self) -> Path | None:
        """The file that holds the vectors, or None where they are in memory."""
        return None if self._file is None else self._file.path

    def add(self, key: bytes, vectors: Tensor) -> None:
        """Keep a row's vectors (n, width)."""
        count = len(vectors)
        self._store[self._used : self._used + count] = vectors
        self._places[key] = (self._used, count)
        self._used += count

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def batch(self, keys: Sequence[bytes], width: int, *, left: bool) -> Tensor:
        """Return the vectors of rows as (B, width, D), with zeros where there is padding.

        Args:
            keys: The rows.
            width: Positions in the batch.
            left: Whether padding stands before a row's own positions.
        """
        found = torch.zeros(len(keys), width, self._store.shape[1], dtype=self._store.dtype)
        for row, key in enumerate(keys):
            start, count = self._places[key]
            own = slice(width - count, width) if left else slice(0, count)
            found[row, own] = self._store[start : start + count]
        return found

    def close(self) -> None:
        """Let go of memory and disk."""
        self._store = torch.empty(0)
        self._places = {}
        if self._file is not None:
            self._file.remove()
            self._file = None


def open_features(positions: int, width: int, dtype: torch.dtype, limit: int) -> Features | None:
    """Return a place for features, or None, with the reason told, where there is none."""
    size = positions * width * dtype.itemsize
    if size > limit:
        log.warning(
            "frozen features would take %.0f MiB, more than training.cache_limit = %d: they are "
            "computed anew in every epoch",
            size / 2**20,
            limit // 2**20,
        )
        return None
    try:
        return Features(positions, width, dtype)
    except OSError as error:
        log.warning(
            "frozen features cannot be kept on disk (%s): they are computed anew in every epoch",
            os.strerror(error.errno) if error.errno else error,
        )
        return None
