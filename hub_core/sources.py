"""What a recipe or a caller may name as data, found but not yet read.

A name is a file, a pattern such as ``data/*.csv``, a folder that ``save_to_disk`` wrote, or
``hub:OWNER/NAME``; in memory it is a ``Dataset``, a DataFrame or a list of dicts.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hub_core.arrowfiles import COLUMNAR_FILES, columnar_rows, dataset_rows, saved_dataset
from hub_core.errors import DataError, near
from hub_core.hubdata import PREFIX, Reference
from hub_core.textfiles import TEXT_FILES, refuse_twice, text_rows
from hub_core.wording import named

FILES = (*TEXT_FILES, *COLUMNAR_FILES)
"""Endings of the files that can be read; those of text may have ``.gz`` behind them."""
_KINDS = "use CSV, TSV, JSONL, Parquet or Arrow"
_UNPACKED = 4
"""How much larger than a compressed file what is in it is taken to be."""
_MAGIC = {
    b"PAR1": ("a Parquet file", "rename it to end in '.parquet'"),
    b"ARROW1": ("an Arrow file", "rename it to end in '.arrow'"),
    b"\x1f\x8b": ("compressed with gzip", "rename it to end in '{kind}.gz'"),
    b"PK\x03\x04": ("a ZIP archive or a spreadsheet", "unpack it, or save it as CSV"),
}
_NEEDED = {".gz": b"\x1f\x8b", ".parquet": b"PAR1"}


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read, as often as they are asked for.

    Args:
        label: What messages call it.
        size: What its rows take, in bytes, as far as that is known; 0 for what is in memory.
        rows: Starts to read.
    """

    label: str
    size: int
    rows: Callable[[], Iterator[dict[str, Any]]]


def sources_of(given: Any) -> list[Source]:
    """Return what was named, in order; the files of a pattern are sorted.

    Raises:
        DataError: It is missing, or of a kind that cannot be read.
    """
    if isinstance(given, Source):
        return [given]
    if isinstance(given, str | Path):
        return _sources_named(str(given))
    if isinstance(given, list) and given and isinstance(given[0], str | Path):
        return [source for name in given for source in _sources_named(str(name))]
    return [_in_memory(given)]


def splits_of(given: Any) -> dict[str, Source]:
    """Return the splits of a saved ``DatasetDict`` or of a Hub data set named without a split.

    Everything else has none.

    Raises:
        DataError: It cannot be fetched or is damaged.
    """
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str | Path):
        return {}
    name = str(given)
    if name.startswith(PREFIX):
        reference = Reference.parse(name)
        found = reference.load() if reference.split is None else None
        return _splits(name, found, "#")
    return _splits(name, saved_dataset(Path(name)), "/") if Path(name).is_dir() else {}


def is_table(name: str) -> bool:
    """Return whether a name is that of data with columns, going by how it is written."""
    return name.startswith(PREFIX) or _kind(Path(name))[0] in FILES


# -- by name


def _sources_named(name: str) -> list[Source]:
    if name.startswith(PREFIX):
        return [_from_dataset(name, Reference.parse(name).load(), "#")]
    path = Path(name)
    if path.is_dir():
        if (found := saved_dataset(path)) is None:
            raise DataError(f"{path}: is a folder", hint=f"name the files in it: {path}/*.csv")
        return [_from_dataset(name, found, "/")]
    if not path.exists() and glob.has_magic(name):
        return [_from_file(path) for path in _matching(name)]
    return [_from_file(path)]


def _matching(pattern: str) -> list[Path]:
    """Return the files that match a pattern, sorted."""
    found = sorted(path for name in glob.glob(pattern, recursive=True)  # noqa: PTH207
                   if (path := Path(name)).is_file())  # fmt: skip
    if not found:
        folder = Path(pattern).parent
        beside = sorted(other.name for other in folder.glob("*") if other.is_file())
        there = f"the files in {folder} are {named(beside)}" if beside else ""
        nothing = "" if glob.has_magic(str(folder)) else f"there are no files in {folder}"
        raise DataError(f"{pattern}: no file matches", hint=there or nothing)
    return found


def _from_file(path: Path) -> Source:
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*") if other.is_file()]
        raise DataError(f"{path}: there is no such file", hint=near(path.name, beside))
    kind, gzipped = _kind(path)
    if kind not in FILES or (gzipped and kind not in TEXT_FILES):
        ending = "".join(path.suffixes[-2:]).lower() if gzipped else kind
        what = f"files ending in '{ending}'" if ending else "files without an ending"
        raise DataError(f"{path}: {what} cannot be read", hint=_KINDS)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not size:
        raise DataError(f"{path}: the file is empty", hint="give a file with examples in it")
    _refuse_other_kind(path, kind, begin, gzipped=gzipped)
    if kind in TEXT_FILES:
        size *= _UNPACKED if gzipped else 1
        return Source(str(path), size, partial(text_rows, path, kind, gzipped=gzipped))
    size *= _UNPACKED if kind == ".parquet" else 1
    return Source(str(path), size, partial(columnar_rows, path, kind))


def _kind(path: Path) -> tuple[str, bool]:
    """Return what a file holds by its name, and whether it is gzipped."""
    gzipped = path.suffix.lower() == ".gz"
    return (Path(path.stem) if gzipped else path).suffix.lower(), gzipped


def _refuse_other_kind(path: Path, kind: str, begin: bytes, *, gzipped: bool) -> None:
    """Refuse a file whose first bytes are not those of what its name says."""
    ending = ".gz" if gzipped else kind
    if begin.startswith(_NEEDED.get(ending, b"")):
        ours = _NEEDED.get(ending) or (b"ARROW1" if kind == ".arrow" else None)
        for magic, (what, hint) in _MAGIC.items():
            if magic != ours and begin.startswith(magic):
                raise DataError(
                    f"{path}: is {what}, although its name ends in '{kind}'",
                    hint=hint.format(kind=kind),
                )
        return
    what = "compressed with gzip" if gzipped else "a Parquet file"
    plain = f"'{kind}'" if gzipped else "'.csv' or '.jsonl'"
    raise DataError(
        f"{path}: is not {what}, although its name ends in '{ending}'",
        hint=f"fetch it again, or rename it to end in {plain} if that is what it is",
    )


# -- data sets


def _from_dataset(name: str, found: Any, sign: str) -> Source:
    """Return a data set as a source; of several splits one must be named."""
    splits = _splits(name, found, sign)
    if len(splits) > 1:
        which = next((split for split in splits if split == "train"), next(iter(splits)))
        raise DataError(
            f"{name}: holds the splits {named(list(splits))}",
            hint=f"name one of them, such as {name}{sign}{which}",
        )
    return next(iter(splits.values())) if splits else _from_rows(name, found)


def _splits(name: str, found: Any, sign: str) -> dict[str, Source]:
    if not isinstance(found, Mapping):
        return {}
    return {str(s): _from_rows(f"{name}{sign}{s}", rows) for s, rows in found.items()}


def _from_rows(label: str, dataset: Any) -> Source:
    size = int(getattr(getattr(dataset, "data", None), "nbytes", 0))
    return Source(label, size, partial(dataset_rows, label, dataset))


# -- data in memory


def _in_memory(given: Any) -> Source:
    if hasattr(given, "notna") and hasattr(given, "columns"):  # a pandas DataFrame
        return Source("data", 0, partial(_frame_rows, given))
    if hasattr(given, "to_list") and hasattr(given, "features"):  # a datasets.Dataset
        return _from_rows("data", given)
    if isinstance(given, list) and all(isinstance(row, Mapping) for row in given):
        return Source("data", 0, partial(_plain_rows, given))
    raise DataError(
        f"data of type {type(given).__name__} cannot be read",
        hint="give a file name, a datasets.Dataset, a pandas DataFrame or a list of dicts",
    )


def _plain_rows(rows: Sequence[Mapping[Any, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {str(name): value for name, value in row.items()}


def _frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """Yield a DataFrame's rows; whatever it marks as missing is None."""
    names = [str(name) for name in frame.columns]
    refuse_twice("data", names)
    plain = frame.astype(object).where(frame.notna(), None)
    for row in plain.itertuples(index=False, name=None):
        yield dict(zip(names, row, strict=True))
