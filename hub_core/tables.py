"""Data as tables of plain values, before anybody asks what they mean.

Rows are counted from 1 and leave out a header line. A table is in memory, or, where it is larger
than a limit, its rows are read anew each time they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hub_core.errors import DataError
from hub_core.sources import Source, sources_of
from hub_core.wording import named


class Stream:
    """The rows of sources, read from the beginning whenever they are iterated over."""

    def __init__(self, sources: Sequence[Source], count: int) -> None:
        self.sources, self.count = sources, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for source in self.sources:
            yield from source.rows()


class Table(NamedTuple):
    """Rows and where they come from.

    Args:
        source: The file, the files, or ``data``.
        columns: The column names; a row need not have all of them.
        rows: The rows.
        parts: File and number of rows, where several files make the table.
    """

    source: str
    columns: list[str]
    rows: list[dict[str, Any]] | Stream
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def streamed(self) -> bool:
        """Whether the rows are not in memory."""
        return isinstance(self.rows, Stream)

    def place(self, number: int) -> str:
        """Return where a row is, counted from 1 in its own file."""
        for source, count in self.parts:
            if number <= count:
                return f"{source}, row {number}"
            number -= count
        return f"row {number}"

    def counted(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Yield file, number in it from 1, and row; the file is empty where there is only one."""
        rows = iter(self.rows)
        for source, count in self.parts or (("", len(self.rows)),):
            for number in range(1, count + 1):
                yield source, number, next(rows)


def read_table(source: Any, limit: int = 0) -> Table:
    """Read files by name, or take a ``Dataset``, a DataFrame or a list of dicts.

    Args:
        source: See ``hub_core.sources``.
        limit: Bytes from which on rows are not kept in memory; 0 keeps all.

    Raises:
        DataError: The source is missing, empty, of an unknown kind or damaged.
    """
    sources = sources_of(source)
    large = 0 < limit < sum(source.size for source in sources)
    kept: list[dict[str, Any]] = []
    parts: list[tuple[str, int]] = []
    columns: dict[str, None] = {}
    for one in sources:
        own: dict[str, None] = {}
        count = 0
        for row in one.rows():
            count += 1
            own.update(dict.fromkeys(row))
            if not large:
                kept.append(row)
        if not count:
            raise DataError(f"{one.label}: there are no rows", hint="give data with examples in it")
        if parts and own.keys() != columns.keys():
            _refuse_other_columns(one.label, own, parts[0][0], columns)
        columns = columns or own
        parts.append((one.label, count))
    label = ", ".join(source for source, _ in parts[:SHOWN_FILES])
    label += f" and {len(parts) - SHOWN_FILES} more" if len(parts) > SHOWN_FILES else ""
    rows = Stream(sources, sum(count for _, count in parts)) if large else kept
    return Table(label, list(columns), rows, tuple(parts) if len(parts) > 1 else ())


SHOWN_FILES = 5
"""Files that the name of a table lists before it only counts."""


def _refuse_other_columns(
    label: str, columns: dict[str, None], first: str, expected: dict[str, None]
) -> None:
    lacking = named(sorted(set(columns) ^ set(expected)))
    raise DataError(
        f"{label} and {first} do not have the same columns: only one of them has {lacking}",
        hint="give files with the same columns",
    )
