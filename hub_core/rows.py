"""Rows of examples: in memory, or on disk where the examples are.

Rows on disk are made piece by piece; in memory are their lengths, which is all that batches are
cut by. A row that is read again is equal to the one that was written.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_core.model import Backbone, Example, Head, Row
from hub_core.stored import Lazy, Store

CHUNK = 1024
"""Examples that are made rows of at once."""


class LazyExample(Mapping[str, Any]):
    """An example that is read when it is asked for."""

    def __init__(self, examples: Sequence[Example], index: int) -> None:
        self._examples, self._index = examples, index

    def __getitem__(self, role: str) -> Any:
        return self._examples[self._index][role]

    def __iter__(self) -> Iterator[str]:
        return iter(self._examples[self._index])

    def __len__(self) -> int:
        return len(self._examples[self._index])


class StoredRows(Lazy[Row]):
    """The rows of stored examples.

    Args:
        head: Makes rows of examples.
        examples: The examples.
        backbone: The head's backbone.

    Attributes:
        lengths: Every row's length in tokens.
    """

    def __init__(self, head: Head, examples: Lazy[Example], backbone: Backbone) -> None:
        self.examples = examples
        self.lengths = array("l")
        self._store = Store(self._records(head, backbone), examples.folder)

    def _records(self, head: Head, backbone: Backbone) -> Iterator[Any]:
        for start in range(0, len(self.examples), CHUNK):
            chunk = list(self.examples[start : start + CHUNK])
            for row in head.features(chunk, backbone):
                self.lengths.append(row.length)
                inputs = {name: list(values) for name, values in row.inputs.items()}
                yield inputs, start + row.index, row.target, row.truncated

    def __len__(self) -> int:
        return len(self._store)

    def item(self, index: int) -> Row:
        """Read a row."""
        inputs, example, target, truncated = self._store[index]
        return Row(inputs, LazyExample(self.examples, example), example, target, truncated)

    @property
    def folder(self) -> Path | None:
        """Where the rows are."""
        return self._store.folder


def rows_of(head: Head, examples: Sequence[Example], backbone: Backbone) -> Sequence[Row]:
    """Return the rows of examples, in order: stored where the examples are."""
    if isinstance(examples, Lazy):
        return StoredRows(head, examples, backbone)
    return head.features(examples, backbone)
