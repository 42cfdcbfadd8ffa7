"""Parquet and Arrow as rows of plain values: files, saved data sets and data sets in memory.

pyarrow and datasets are imported when they are needed. Class labels, which data sets keep as
numbers, are given by their names; every other value keeps its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub_core.errors import DataError
from hub_core.textfiles import refuse_twice
from hub_core.wording import shown

COLUMNAR_FILES = (".parquet", ".arrow")
CHUNK = 1000
"""Rows that are taken from Arrow at once."""
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_AGAIN = "fetch it again, or write it again"


def columnar_rows(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet or Arrow file.

    Raises:
        DataError: It is empty, damaged or of another kind.
    """
    return _parquet_rows(path) if kind == ".parquet" else _arrow_rows(path)


def dataset_rows(label: str, dataset: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a ``datasets.Dataset``."""
    start = 0
    names = _label_names(dataset.features)
    with _telling(label):
        for table in dataset.with_format("arrow").iter(CHUNK):
            yield from _rows(label, start, table, names)
            start += table.num_rows


def saved_dataset(path: Path) -> Any | None:
    """Return what ``save_to_disk`` wrote into a folder, memory-mapped, or None if it wrote none.

    Raises:
        DataError: It is damaged.
    """
    names = ("dataset_dict.json", "dataset_info.json", "state.json")
    if not any((path / name).is_file() for name in names):
        return None
    import datasets

    with _telling(path):
        return datasets.load_from_disk(str(path))


# -- files


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet

    start = 0
    with _telling(path), parquet.ParquetFile(path) as file:
        names = _names_in(path, file.schema_arrow)
        for batch in file.iter_batches(CHUNK):
            yield from _rows(path, start, batch, names)
            start += batch.num_rows


def _arrow_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow

    start = 0
    with _telling(path), pyarrow.memory_map(str(path)) as file, _reader(path, file) as reader:
        names = _names_in(path, reader.schema)
        for batch in _batches(reader):
            for offset in range(0, batch.num_rows, CHUNK):
                yield from _rows(path, start + offset, batch.slice(offset, CHUNK), names)
            start += batch.num_rows


def _reader(path: Path, file: Any) -> Any:
    """Return the reader of one of the two formats that Arrow has for files."""
    from pyarrow import ipc

    if file.read(6) == b"ARROW1":
        file.seek(0)
        return ipc.open_file(file)
    file.seek(max(0, file.size() - len(_END_OF_STREAM)))
    if file.read() != _END_OF_STREAM:  # a stream that is cut between two batches reads well
        raise DataError(f"{path}: is no Arrow file, or it is cut off", hint=_AGAIN)
    file.seek(0)
    return ipc.open_stream(file)


def _batches(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from reader


@contextmanager
def _telling(place: Path | str) -> Iterator[None]:
    """Tell what pyarrow and datasets say of damaged files as one sentence."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
        raise DataError(
            f"{place}: is damaged or cut off: {reason[:200]}",
            hint=_AGAIN,
        ) from error


# -- values


def _rows(
    place: Path | str, start: int, table: Any, names: Mapping[str, Callable[[Any], Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table or batch of Arrow, of which the first is number ``start``."""
    try:
        rows = table.to_pylist()
    except UnicodeDecodeError:
        raise _not_utf8(place, start, table) from None
    for row in rows:
        for name, named in names.items():
            row[name] = named(row[name])
        yield row


def _not_utf8(place: Path | str, start: int, table: Any) -> DataError:
    """Return the error that names the value that is not UTF-8."""
    hint = "write the file again from texts in UTF-8"
    for name, column in zip(table.schema.names, table.columns, strict=True):
        for number, value in enumerate(column, start=start + 1):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                return DataError(
                    f"{place}: row {number}, column {shown(name)}: the text is not UTF-8 "
                    f"(byte {error.start + 1})",
                    hint=hint,
                )
    return DataError(f"{place}: a text is not UTF-8", hint=hint)


def _names_in(path: Path, schema: Any) -> dict[str, Callable[[Any], Any]]:
    """Return how class labels are named in a file that datasets wrote, by column."""
    refuse_twice(str(path), schema.names)
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    import datasets

    return _label_names(datasets.Features.from_arrow_schema(schema))


def _label_names(features: Mapping[str, Any]) -> dict[str, Callable[[Any], Any]]:
    """Return how class labels are named, for the columns that hold such."""
    names: dict[str, Callable[[Any], Any]] = {}
    for column, feature in features.items():
        inner = getattr(feature, "feature", None)
        if hasattr(feature, "int2str"):
            names[column] = _one_name(feature)
        elif hasattr(inner, "int2str"):  # a list of labels, such as one for each word
            names[column] = _several_names(inner)
    return names


def _one_name(feature: Any) -> Callable[[int | None], str | None]:
    """Return the function from number to name; data sets mark what is not labelled by -1."""
    return lambda n: None if n is None or n < 0 else str(feature.int2str(n))


def _several_names(feature: Any) -> Callable[[list[int | None] | None], list[str | None] | None]:
    name = _one_name(feature)
    return lambda numbers: None if numbers is None else [name(number) for number in numbers]
