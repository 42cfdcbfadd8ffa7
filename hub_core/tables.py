"""Files and data in memory as tables of plain values, before anybody asks what they mean.

CSV, TSV and JSON are read by the standard library: every value of CSV stays the text it is, and
what is damaged is told with its line. Lines are those of the file; rows are counted from 1 and
leave out a header line.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hub_core.errors import DataError, listed, near

SHOWN = 10
"""Problems that a message lists before it only counts."""
WIDTH = 60
"""Letters of a value that a message shows."""
_JSON_HINT = "write one object a line, with the column names as keys"


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
    rows: list[dict[str, Any]]
    parts: tuple[tuple[str, int], ...] = ()

    def place(self, number: int) -> str:
        """Return where a row is, counted from 1 in its own file."""
        for source, count in self.parts:
            if number <= count:
                return f"{source}, row {number}"
            number -= count
        return f"row {number}"


def read_table(source: Any) -> Table:
    """Read CSV, TSV or JSONL files, or take a ``Dataset``, a DataFrame or a list of dicts.

    Raises:
        DataError: The source is missing, empty, of an unknown kind or damaged.
    """
    if isinstance(source, str | Path):
        label, rows = str(source), _read_file(Path(source))
    elif isinstance(source, list) and source and isinstance(source[0], str | Path):
        return _stacked([read_table(item) for item in source])
    else:
        label, rows = "data", _in_memory(source)
    if not rows:
        raise DataError(f"{label}: there are no rows", hint="give data with examples in it")
    return Table(label, list(dict.fromkeys(name for row in rows for name in row)), rows)


def shown(value: Any) -> str:
    """Return a value as a message shows it: quoted if it is text, and not too long."""
    text = f"'{value}'" if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"


def some(problems: Sequence[str]) -> str:
    """Return the first problems as a list, and how many more there are."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return listed([*problems[:SHOWN], *more])


def _stacked(tables: Sequence[Table]) -> Table:
    first = tables[0]
    for table in tables[1:]:
        if different := set(table.columns) ^ set(first.columns):
            lacking = ", ".join(shown(name) for name in sorted(different))
            raise DataError(
                f"{table.source} and {first.source} do not have the same columns: "
                f"only one of them has {lacking}",
                hint="give files with the same columns",
            )
    if len(tables) == 1:
        return first
    parts = tuple((table.source, len(table.rows)) for table in tables)
    rows = [row for table in tables for row in table.rows]
    return Table(", ".join(source for source, _ in parts), first.columns, rows, parts)


# -- data in memory


def _in_memory(source: Any) -> list[dict[str, Any]]:
    if hasattr(source, "notna") and hasattr(source, "columns"):  # a pandas DataFrame
        return _frame_rows(source)
    if hasattr(source, "to_list") and hasattr(source, "features"):  # a datasets.Dataset
        return _dataset_rows(source)
    if isinstance(source, list) and all(isinstance(row, Mapping) for row in source):
        return [{str(name): value for name, value in row.items()} for row in source]
    raise DataError(
        f"data of type {type(source).__name__} cannot be read",
        hint="give a file name, a datasets.Dataset, a pandas DataFrame or a list of dicts",
    )


def _frame_rows(frame: Any) -> list[dict[str, Any]]:
    """Return a DataFrame's rows; whatever it marks as missing is None."""
    names = [str(name) for name in frame.columns]
    _refuse_twice("data", names)
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(names, row, strict=True)) for row in plain.itertuples(index=False, name=None)]


def _dataset_rows(dataset: Any) -> list[dict[str, Any]]:
    """Return a ``Dataset``'s rows, with the names of class labels in place of their numbers."""
    rows: list[dict[str, Any]] = dataset.to_list()
    for name, feature in dataset.features.items():
        inner = getattr(feature, "feature", None)
        if hasattr(feature, "int2str"):
            for row in rows:
                row[name] = _class_name(feature, row[name])
        elif hasattr(inner, "int2str"):  # a list of labels, one for each word
            for row in rows:
                row[name] = [_class_name(inner, number) for number in row[name] or ()]
    return rows


def _class_name(feature: Any, number: int | None) -> str | None:
    """Return a class label's name; data sets mark what is not labelled by -1."""
    return None if number is None or number < 0 else str(feature.int2str(number))


# -- files


def _read_file(path: Path) -> list[dict[str, Any]]:
    kind = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path}: is a folder", hint="name the files in it")
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*") if other.is_file()]
        raise DataError(f"{path}: there is no such file", hint=near(path.name, beside))
    if kind not in (".csv", ".tsv", ".jsonl", ".json"):
        what = f"files ending in '{kind}'" if kind else "files without an ending"
        raise DataError(f"{path}: {what} cannot be read", hint="use CSV, TSV or JSONL")
    text = _decoded(path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty", hint="give a file with examples in it")
    if kind in (".jsonl", ".json"):
        return list(_json_rows(path, text))
    return _separated_rows(path, text, "\t" if kind == ".tsv" else ",")


def _decoded(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start].splitlines(keepends=True)
        inside = bool(before) and not before[-1].endswith((b"\n", b"\r"))
        line = len(before) + (not inside)
        byte = len(before[-1]) + 1 if inside else 1
        raise DataError(
            f"{path}: line {line} is not UTF-8 (byte {byte})", hint="save the file as UTF-8"
        ) from None


def _separated_rows(path: Path, text: str, separator: str) -> list[dict[str, Any]]:
    records = list(_records(path, text, separator))
    header = [name.strip() for name in records[0][1]]
    _refuse_twice(f"{path}: line {records[0][0]}", header)
    _refuse_other_separator(path, header, separator)
    uneven = [
        f"line {line} has {_count(len(values), 'value')}"
        for line, values in records[1:]
        if len(values) != len(header)
    ]
    if uneven:
        shape = "a tab or a line break" if separator == "\t" else "a comma or a line break"
        raise DataError(
            f"{path}: the header has {_count(len(header), 'column')}, but{some(uneven)}",
            hint=f"put values that hold {shape} in double quotes",
        )
    return [dict(zip(header, values, strict=True)) for _, values in records[1:]]


def _records(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line it starts in; blank lines are none."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    usual = csv.field_size_limit(2**31 - 1)
    line = 1
    try:
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        open_ended = "unexpected end" in str(error)
        problem = (
            f"a double quote opens in line {line} and is never closed"
            if open_ended
            else f"the double quotes in line {reader.line_num} do not match"
        )
        raise DataError(
            f"{path}: {problem}",
            hint="write a double quote inside of a quoted value twice",
        ) from None
    finally:
        csv.field_size_limit(usual)


def _refuse_twice(where: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DataError(
            f"{where}: several columns are named {shown(twice[0])}", hint="rename one of them"
        )


def _refuse_other_separator(path: Path, header: Sequence[str], separator: str) -> None:
    """Refuse a lonely column whose name holds what other programs put between values."""
    names = {",": "commas", ";": "semicolons", "\t": "tabs"}
    for other, name in names.items():
        if len(header) == 1 and other != separator and other in header[0]:
            raise DataError(
                f"{path}: the values stand between {name}, not {names[separator]}",
                hint="save it as CSV with commas, or as TSV with tabs",
            )


def _json_rows(path: Path, text: str) -> list[dict[str, Any]]:
    """Return the objects of JSON lines, or of one array or one object in a whole file."""
    start = text.lstrip()
    whole = start.startswith("[") or start.split("\n", 1)[0].strip() == "{"
    values = _json_document(path, text) if whole else _json_lines(path, text)
    wrong = [f"{place} is {shown(value)}" for place, value in values if not isinstance(value, dict)]
    if wrong:
        raise DataError(f"{path}: not everything in it is an object:{some(wrong)}", hint=_JSON_HINT)
    return [value for _, value in values]


def _json_lines(path: Path, text: str) -> list[tuple[str, Any]]:
    values, problems = [], []
    for number, line in enumerate(text.split("\n"), start=1):  # U+2028 may stand inside a line
        if line.strip():
            try:
                values.append((f"line {number}", json.loads(line)))
            except (ValueError, RecursionError) as error:
                problems.append(f"line {number}: {_reason(error)}")
    if problems:
        raise DataError(f"{path}: not every line is JSON:{some(problems)}", hint=_JSON_HINT)
    return values


def _json_document(path: Path, text: str) -> list[tuple[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f" line {error.lineno}:" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path}:{line} {_reason(error)}", hint=_JSON_HINT) from None
    items = value if isinstance(value, list) else [value]
    return [(f"item {number}", item) for number, item in enumerate(items, start=1)]


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[0].lower()}{error.msg[1:]} in column {error.colno}"
    return str(error)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
