"""Small memories of this user, kept as JSON in the cache folder: text to text.

Each is replaced as a whole; one that cannot be read is an empty one, one that cannot be written
is simply not kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

PROOFS = "proofs.json"
"""The memory of what was proven on this machine: sha256 of ``hub.json`` to its difference."""


def cache_folder() -> Path:
    """Return where this user keeps what can be made again."""
    base = os.environ.get("HUB_CORE_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "hub-core" if base else Path.home() / ".cache" / "hub-core"


def read(name: str) -> dict[str, str]:
    """Return a memory."""
    with contextlib.suppress(OSError, ValueError):
        memory = json.loads((cache_folder() / name).read_text("utf-8"))
        if isinstance(memory, dict):
            return {str(key): value for key, value in memory.items() if isinstance(value, str)}
    return {}


def note(name: str, key: str, value: str) -> None:
    """Add to a memory, where it is not there already."""
    memory = read(name)
    if memory.get(key) != value:
        _write(name, memory | {key: value})


def forget(name: str, key: str) -> None:
    """Take a key out of a memory."""
    memory = read(name)
    if memory.pop(key, None) is not None:
        _write(name, memory)


def _write(name: str, memory: dict[str, str]) -> None:
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=cache_folder(), prefix=name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(memory, file)
            os.replace(temporary, cache_folder() / name)
        finally:
            Path(temporary).unlink(missing_ok=True)
