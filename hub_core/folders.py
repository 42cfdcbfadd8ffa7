"""Folders that appear as a whole or not at all, and the JSON that lies in them."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub_core.errors import ArtifactError

PARTIAL, OLD = ".partial-", ".old-"
"""What the hidden folders beside a target are called while it is written."""


def write_json(path: Path, value: Any) -> None:
    """Write JSON, keys sorted, UTF-8, with a final newline."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside ``target`` that takes its place only if all goes well.

    An existing ``target`` is replaced as a whole; whatever fails, it stays as it was, and no half
    folder is left.

    Raises:
        ArtifactError: The folder cannot be written, for example because the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}{PARTIAL}"))
    except OSError as error:
        raise ArtifactError(
            f"{target} cannot be written: {error}", hint="choose another folder"
        ) from None
    try:
        yield partial
        _swap(partial, target)
    except OSError as error:
        hint = "choose another folder"
        if is_full(error):
            hint = f"free some disk space, or {hint}"
        raise ArtifactError(f"{target} cannot be written: {error}", hint=hint) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_full(error: OSError) -> bool:
    """Return whether a write failed because there is no more space."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def _swap(partial: Path, target: Path) -> None:
    partial.chmod(0o755)  # mkdtemp's 0700 would hide the result from everybody else
    if not target.exists():
        os.replace(partial, target)
        return
    old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}{OLD}"))
    os.replace(target, old / "it")
    try:
        os.replace(partial, target)
    except BaseException:
        os.replace(old / "it", target)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover(target: Path) -> None:
    """Clean up beside ``target`` after a process that was killed while it wrote there.

    What it had half written goes; what it had just moved away comes back. Only for a target that
    no other process writes to.
    """
    name = glob.escape(target.name)
    for old in target.parent.glob(f".{name}{OLD}*"):
        if not target.exists() and (old / "it").exists():
            os.replace(old / "it", target)
        shutil.rmtree(old, ignore_errors=True)
    for partial in target.parent.glob(f".{name}{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
