"""Who a backbone is: the fingerprint of its weights, and where this machine keeps it.

The fingerprint is identity; a place is only a hint. Hashes are remembered by path, size and time,
so that a file is read once; places are remembered when a backbone was used from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hub_core import notes


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
    known = notes.read("hashes.json").get(key)
    if known is None:
        known = sha256_of(real)
        notes.note("hashes.json", key, known)
    return known


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remember(found: str, place: Path) -> None:
    """Note that the backbone with this fingerprint is in ``place`` on this machine."""
    notes.note("places.json", found, str(place.resolve()))


def remembered(wanted: str) -> Path | None:
    """Return the folder on this machine where the backbone was last used, if it still exists."""
    place = notes.read("places.json").get(wanted)
    return Path(place) if place and Path(place).is_dir() else None
