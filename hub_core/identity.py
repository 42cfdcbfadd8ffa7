"""Who a backbone is: the fingerprint of its weights, and where this machine keeps it.

The fingerprint is identity; a place is only a hint. Hashes are remembered by path, size and time,
so that a file is read once; places are remembered when a backbone was used from them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A backbone's identity.

    Args:
        fingerprint: sha256 over the sha256 of its weight files, as 64 hexadecimal digits.
        config: sha256 of its configuration.
        hint: ``owner/name@commit`` on the Hub, or empty.
        name: What people call it, without any path.
    """

    fingerprint: str
    config: str
    hint: str = ""
    name: str = ""


def fingerprint(files: Iterable[Path]) -> str:
    """Return one sha256 for a set of weight files, independent of their names and order."""
    digests = sorted(file_sha256(path) for path in files)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return a file's sha256, remembered by real path, size and modification time."""
    real = path.resolve()
    stat = real.stat()
    key = f"{real}|{stat.st_size}|{stat.st_mtime_ns}"
    memory = _read("hashes.json")
    if key not in memory:
        memory[key] = sha256_of(real)
        _write("hashes.json", memory)
    return memory[key]


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remember(found: str, place: Path) -> None:
    """Note that the backbone with this fingerprint is in ``place`` on this machine."""
    memory = _read("places.json")
    if memory.get(found) != str(place.resolve()):
        memory[found] = str(place.resolve())
        _write("places.json", memory)


def remembered(wanted: str) -> Path | None:
    """Return the folder on this machine where the backbone was last used, if it still exists."""
    place = _read("places.json").get(wanted)
    return Path(place) if place and Path(place).is_dir() else None


def cache_folder() -> Path:
    """Return where this user keeps what can be made again."""
    base = os.environ.get("HUB_CORE_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "hub-core" if base else Path.home() / ".cache" / "hub-core"


def _read(name: str) -> dict[str, str]:
    """Read one of the memories; a memory that cannot be read is an empty one."""
    with contextlib.suppress(OSError, ValueError):
        memory = json.loads((cache_folder() / name).read_text("utf-8"))
        if isinstance(memory, dict):
            return {str(key): value for key, value in memory.items() if isinstance(value, str)}
    return {}


def _write(name: str, memory: dict[str, str]) -> None:
    """Replace a memory as a whole; where nothing can be written it is simply not kept."""
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=cache_folder(), prefix=name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(memory, file)
            os.replace(temporary, cache_folder() / name)
        finally:
            Path(temporary).unlink(missing_ok=True)
