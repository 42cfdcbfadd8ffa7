"""Where fetched repositories lie: a folder for each Hub, name and commit, whole or not there.

They are fetched into a folder beside, which takes its place when every file has been checked.
What a killed process left there is removed by the next one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub_core import locks, notes
from hub_core.errors import RemoteError
from hub_core.remote.endpoint import Endpoint
from hub_core.remote.reference import COMMIT

_PART = ".part-"
_YOUNG = 60.0
"""Seconds in which a process must have locked what it made."""


def place(endpoint: Endpoint, name: str, commit: str) -> Path:
    """Return where a commit's files are, or will be."""
    root = notes.cache_folder() / "artifacts" / endpoint.slug
    return root / name.replace("/", "--") / commit


@contextmanager
def incoming(target: Path, needed: int) -> Iterator[Path]:
    """Give an empty folder that becomes ``target`` if all goes well; else nothing is left.

    Args:
        target: A place; if another process has filled it meanwhile, its files stay.
        needed: Bytes that will be written.

    Raises:
        RemoteError: The folder cannot be made, or the disk has less room.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clean(target.parent)
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=_PART))
    except OSError as error:
        raise RemoteError(
            f"{target.parent} cannot be written: {error.strerror}",
            hint="free some disk space, or choose another cache folder with HUB_CORE_CACHE",
        ) from None
    lock = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        locks.hold(lock)
        require_room(folder, needed)
        yield folder
        folder.chmod(0o755)
        if not target.is_dir():
            os.replace(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        locks.release(lock)
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def require_room(folder: Path, needed: int) -> None:
    """Refuse to begin where the disk has less room than is needed, in bytes.

    Raises:
        RemoteError: With both figures.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RemoteError(
            f"{needed:,} bytes are needed in {folder.parent}, {free:,} are free",
            hint="free some disk space, or choose another cache folder with HUB_CORE_CACHE",
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A pulled commit: ``owner/name@commit``, its folder, bytes, and seconds since it came."""

    address: str
    path: Path
    size: int
    age: float


def pulled() -> Iterator[Entry]:
    """Yield every commit that lies here, of all Hubs."""
    for path in sorted((notes.cache_folder() / "artifacts").glob("*/*/*")):
        if path.is_dir() and COMMIT.fullmatch(path.name):
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            name = path.parent.name.replace("--", "/", 1)
            yield Entry(f"{name}@{path.name}", path, size, time.time() - path.stat().st_mtime)


def clear() -> tuple[int, int]:
    """Delete every pulled commit; return how many there were, and their bytes."""
    gone = list(pulled())
    for entry in gone:
        shutil.rmtree(entry.path, ignore_errors=True)
    return len(gone), sum(entry.size for entry in gone)


def _clean(parent: Path) -> None:
    """Remove what processes that were killed left half fetched."""
    for lock in parent.glob(f"{_PART}*.lock"):
        if time.time() - lock.stat().st_mtime < _YOUNG:
            continue  # it may be about to be locked
        handle = os.open(lock, os.O_RDWR)
        try:
            locks.hold(handle)
        except locks.HeldError:
            continue  # its process is at work
        else:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
        finally:
            locks.release(handle)
