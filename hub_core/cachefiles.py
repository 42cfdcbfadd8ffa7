"""Large files that a run keeps outside of its own folder for as long as it lasts.

They lie in the cache folder of this user. A file is locked while its run lives; what a killed run
left behind is not, and may go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub_core.locks import HeldError, hold, release
from hub_core.notes import cache_folder


def folder() -> Path:
    """Return where such files lie."""
    return cache_folder() / "files"


@dataclass(slots=True)
class CacheFile:
    """A file with its space reserved, locked by this process."""

    path: Path
    handle: int

    @classmethod
    def create(cls, kind: str, size: int) -> CacheFile:
        """Make a file of ``size`` bytes, after removing what killed runs left behind.

        The space is really taken: writing to the mapped file later cannot run out of disk.

        Raises:
            OSError: There is not enough space, or nothing can be written there.
        """
        clear(older=60.0)  # a younger one may be about to be locked
        folder().mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder(), prefix=f"{kind}-", suffix=".bin")
        made = cls(Path(name), handle)
        try:
            hold(handle)
            _reserve(handle, size)
        except BaseException:
            made.remove()
            raise
        return made

    def remove(self) -> None:
        """Unlock and delete the file."""
        release(self.handle)
        self.path.unlink(missing_ok=True)


def _reserve(handle: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    block = bytes(2**20)
    for start in range(0, size, len(block)):
        os.write(handle, block[: min(len(block), size - start)])


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the cache.

    Args:
        path: Where it is.
        size: Bytes it takes.
        age: Seconds since it was made.
        used: Whether a living run has it.
    """

    path: Path
    size: int
    age: float
    used: bool


def entries() -> Iterator[Entry]:
    """Yield every file of the cache, whoever made it."""
    for path in sorted(folder().glob("*.bin")):
        with contextlib.suppress(FileNotFoundError):  # its run may end while we look
            stat = path.stat()
            yield Entry(path, stat.st_size, time.time() - stat.st_mtime, _used(path))


def _used(path: Path) -> bool:
    handle = os.open(path, os.O_RDWR)
    try:
        hold(handle)
    except HeldError:
        return True
    finally:
        os.close(handle)
    return False


def clear(*, older: float = 0.0) -> tuple[int, int]:
    """Delete what no living run has and is older than some seconds; return files and bytes."""
    gone = [entry for entry in entries() if not entry.used and entry.age >= older]
    for entry in gone:
        entry.path.unlink(missing_ok=True)
    return len(gone), sum(entry.size for entry in gone)
