"""Sequences that are on disk: values written once in order, then read one at a time.

A store is a file without a name, so that nothing is left of it when the run ends, however it ends.
In memory are the places of its values, eight bytes for each.
"""

from __future__ import annotations

import json
import mmap
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from hub_core.errors import DataError

T = TypeVar("T")


class Lazy(Sequence[T], Generic[T]):
    """A sequence whose items are made when they are asked for; a slice is lazy too."""

    def item(self, index: int) -> T:
        """Return an item by its number, from 0."""
        raise NotImplementedError

    @property
    def folder(self) -> Path | None:
        """Where more of it may be stored."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return Picked(self, array("q", range(*index.indices(len(self)))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.item(index % len(self))

    def __iter__(self) -> Iterator[T]:
        return map(self.item, range(len(self)))


class Picked(Lazy[T]):
    """Some items of another lazy sequence, by their numbers."""

    def __init__(self, whole: Lazy[T], numbers: array[int]) -> None:
        self.whole, self.numbers = whole, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def item(self, index: int) -> T:
        """Return an item by its number among those that were picked."""
        return self.whole.item(self.numbers[index])

    @property
    def folder(self) -> Path | None:
        """Where the whole is stored."""
        return self.whole.folder


class Store(Lazy[Any]):
    """Plain data on disk: texts, numbers, and lists and dicts of them, which come back the same.

    Args:
        values: What to write; all of it is written at once.
        folder: Where the file is; the system's folder for such files by default.

    Raises:
        DataError: It cannot be written, such as because the disk is full.
    """

    def __init__(self, values: Iterable[Any], folder: Path | None = None) -> None:
        self._folder = folder
        self._ends = array("q", [0])
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed with the store
        except OSError as error:
            raise _unwritable(folder, error) from None
        encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        for value in values:
            self._write(encode(value).encode())
        try:
            self._file.flush()
            self._bytes = (
                mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
                if self._ends[-1]
                else b""
            )
        except OSError as error:
            raise _unwritable(folder, error) from None

    def _write(self, record: bytes) -> None:
        try:
            self._file.write(record)
        except OSError as error:
            raise _unwritable(self._folder, error) from None
        self._ends.append(self._ends[-1] + len(record))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def item(self, index: int) -> Any:
        """Read a value."""
        return json.loads(self._bytes[self._ends[index] : self._ends[index + 1]])

    @property
    def folder(self) -> Path | None:
        """Where the file is."""
        return self._folder


def _unwritable(folder: Path | None, error: OSError) -> DataError:
    place = folder or tempfile.gettempdir()
    return DataError(
        f"the data cannot be kept on disk in {place}: {error.strerror or error}",
        hint="free some disk space there, or set training.memory_limit = 0 to keep the data "
        "in memory",
    )
