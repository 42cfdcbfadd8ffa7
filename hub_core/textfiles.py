"""CSV, TSV and JSON files as rows, one after the other, also when they are gzipped.

They are read by the standard library: every value of CSV stays the text it is, and what is damaged
is told with its line. Lines are those of the file. Nothing is kept but the row at hand, so a file
may be larger than the memory; only a JSON document that is no JSONL is read as a whole.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, TextIO

from hub_core.errors import DataError
from hub_core.wording import Problems, counted, shown

SEPARATORS = {".csv": ",", ".tsv": "\t"}
TEXT_FILES = (*SEPARATORS, ".jsonl", ".json")
_JSON_HINT = "write one object a line, with the column names as keys"


def text_rows(path: Path, kind: str, *, gzipped: bool) -> Iterator[dict[str, Any]]:
    """Yield the rows of a text file.

    Args:
        path: The file.
        kind: What it holds, one of ``TEXT_FILES``.
        gzipped: Whether it is compressed.

    Raises:
        DataError: It is empty or damaged; raised where the damage is, at the latest at the end.
    """
    separator = SEPARATORS.get(kind)
    # a line separator of Unicode may stand inside of a line of JSON, a \r inside a value of CSV
    with _opened(path, "\n" if separator is None else "", gzipped=gzipped) as lines:
        if separator is None:
            yield from _json_rows(path, _not_empty(path, lines))
        else:
            yield from _separated_rows(path, _not_empty(path, lines), separator)


def refuse_twice(where: str, names: Iterable[str]) -> None:
    """Refuse columns of which two have one name.

    Raises:
        DataError: Two have.
    """
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DataError(
            f"{where}: several columns are named {shown(twice[0])}", hint="rename one of them"
        )


# -- opening


def _binary(path: Path, *, gzipped: bool) -> IO[bytes]:
    return gzip.open(path) if gzipped else path.open("rb")  # type: ignore[return-value]


@contextmanager
def _opened(path: Path, newline: str, *, gzipped: bool) -> Iterator[TextIO]:
    try:
        with (
            _binary(path, gzipped=gzipped) as binary,
            io.TextIOWrapper(binary, "utf-8-sig", newline=newline) as text,
        ):
            yield text
    except UnicodeDecodeError:
        raise _not_utf8(path, gzipped=gzipped) from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(
            f"{path}: the compressed file is damaged or cut off",
            hint="fetch it again, or compress it again; 'gzip -t' checks it",
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _not_utf8(path: Path, *, gzipped: bool) -> DataError:
    """Return the error that says where a file stops being UTF-8."""
    line = 0
    with _binary(path, gzipped=gzipped) as binary:
        for number, raw in enumerate(binary):
            raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
            try:
                raw.decode()
            except UnicodeDecodeError as error:
                before = raw[: error.start].splitlines(keepends=True)
                inside = bool(before) and not before[-1].endswith((b"\n", b"\r"))
                line += len(before) + (not inside)
                byte = len(before[-1]) + 1 if inside else 1
                return DataError(
                    f"{path}: line {line} is not UTF-8 (byte {byte})", hint="save the file as UTF-8"
                )
            line += len(raw.splitlines())
    return DataError(f"{path}: is not UTF-8", hint="save the file as UTF-8")


def _not_empty(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines, and refuse a file of white space at its end."""
    empty = True
    for line in lines:
        empty = empty and not line.strip()
        yield line
    if empty:
        raise DataError(f"{path}: the file is empty", hint="give a file with examples in it")


# -- CSV and TSV


def _separated_rows(path: Path, lines: Iterator[str], separator: str) -> Iterator[dict[str, Any]]:
    records = _records(path, lines, separator)
    line, first = next(records, (1, []))
    header = [name.strip() for name in first]
    refuse_twice(f"{path}: line {line}", header)
    _refuse_other_separator(path, header, separator)
    uneven = Problems()
    for line, values in records:
        if len(values) == len(header):
            yield dict(zip(header, values, strict=True))
        else:
            uneven.add(f"line {line} has {counted(len(values), 'value')}")
    if uneven:
        shape = "a tab or a line break" if separator == "\t" else "a comma or a line break"
        raise DataError(
            f"{path}: the header has {counted(len(header), 'column')}, but{uneven.listed()}",
            hint=f"put values that hold {shape} in double quotes",
        )


def _records(path: Path, lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line it starts in; blank lines are none."""
    own: list[str] = []  # the lines of this record
    header: list[str] = []

    def kept() -> Iterator[str]:
        for text in lines:
            own.append(text)
            yield text

    reader = csv.reader(kept(), delimiter=separator, strict=True)
    usual = csv.field_size_limit(2**31 - 1)
    line = 1
    try:
        for record in reader:
            if record:
                header = header or record
                yield line, record
            line = reader.line_num + 1
            own.clear()
    except csv.Error as error:
        number = _broken_field("".join(own), separator)
        column = f", column {shown(header[number].strip())}," if number < len(header) else ""
        raise DataError(
            f"{path}: a double quote opens in line {line}{column} and is never closed"
            if "unexpected end" in str(error)
            else f"{path}: the double quotes in line {reader.line_num}{column} do not match",
            hint="write a double quote inside of a quoted value twice",
        ) from None
    finally:
        csv.field_size_limit(usual)


def _broken_field(record: str, separator: str) -> int:
    """Return the number of the first value whose double quotes do not match."""
    number = start = 0
    while start < len(record):
        end = start
        if record[start] == '"':
            end = start + 1
            while (end := record.find('"', end)) >= 0 and record[end + 1 : end + 2] == '"':
                end += 2
            if end < 0 or record[end + 1 : end + 2] not in (separator, "\r", "\n", ""):
                return number
        after = record.find(separator, end)
        if after < 0:
            return number
        number, start = number + 1, after + 1
    return number


def _refuse_other_separator(path: Path, header: Sequence[str], separator: str) -> None:
    """Refuse a lonely column whose name holds what other programs put between values."""
    names = {",": "commas", ";": "semicolons", "\t": "tabs"}
    for other, name in names.items():
        if len(header) == 1 and other != separator and other in header[0]:
            raise DataError(
                f"{path}: the values stand between {name}, not {names[separator]}",
                hint="save it as CSV with commas, or as TSV with tabs",
            )


# -- JSON


def _json_rows(path: Path, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON lines, or of one array or one object in a whole file."""
    blank: list[str] = []
    for line in lines:
        if start := line.strip():
            lines = chain(blank, [line], lines)
            whole = start.startswith("[") or start == "{"
            break
        blank.append(line)
    else:
        return
    unread = Problems()
    values = _json_document(path, "".join(lines)) if whole else _json_lines(lines, unread)
    wrong = Problems()
    for place, value in values:
        if isinstance(value, dict):
            yield value
        else:
            wrong.add(f"{place} is {shown(value)}")
    if unread:
        raise DataError(f"{path}: not every line is JSON:{unread.listed()}", hint=_JSON_HINT)
    if wrong:
        raise DataError(
            f"{path}: not everything in it is an object:{wrong.listed()}", hint=_JSON_HINT
        )


def _json_lines(lines: Iterable[str], unread: Problems) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                value = json.loads(line.removesuffix("\n"))
            except (ValueError, RecursionError) as error:
                unread.add(f"line {number}: {_reason(error)}")
            else:
                yield f"line {number}", value


def _json_document(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f" line {error.lineno}:" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path}:{line} {_reason(error)}", hint=_JSON_HINT) from None
    items = value if isinstance(value, list) else [value]
    yield from ((f"item {number}", item) for number, item in enumerate(items, start=1))


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[0].lower()}{error.msg[1:]} in column {error.colno}"
    return str(error)
