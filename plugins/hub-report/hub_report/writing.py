"""A report's files: each appears as a whole, the page last; nothing else in the folder changes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from hub_core.errors import DataError

PAGE = "report.html"
_OURS = re.compile(r"loss\.png|.+\.(validation|confusion|reliability|scatter|residuals)\.png")


def refuse_other(folder: Path) -> None:
    """Refuse a folder that holds something else than a report.

    Raises:
        DataError: It does.
    """
    if folder.exists() and not _is_free(folder):
        raise DataError(f"{folder} exists and is no report", hint="choose another folder for --out")


def write(folder: Path, page: str, pictures: Mapping[str, bytes]) -> None:
    """Write a report, in place of an older one.

    Args:
        folder: Where it goes.
        page: The HTML.
        pictures: File name to PNG.

    Raises:
        DataError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in pictures:
                path.unlink()
        for name, content in pictures.items():
            _replace(folder / name, content)
        _replace(folder / PAGE, page.encode())
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror}", hint="choose another folder for --out"
        ) from None


def _is_free(folder: Path) -> bool:
    return folder.is_dir() and ((folder / PAGE).is_file() or not any(folder.iterdir()))


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
