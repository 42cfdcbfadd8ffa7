"""Contents on disk, each under its sha256: written beside, forced to disk, then renamed."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from hub_server.refusal import RefusedError


class Blobs:
    """A folder of contents.

    Args:
        root: The server's folder; contents are in ``blobs``, unfinished ones in ``tmp``.
    """

    def __init__(self, root: Path) -> None:
        self.folder, self.unfinished = root / "blobs", root / "tmp"
        for folder in (self.folder, self.unfinished):
            folder.mkdir(parents=True, exist_ok=True)

    def clean(self) -> None:
        """Remove what an interrupted run has left unfinished."""
        for path in self.unfinished.iterdir():
            path.unlink()

    def path(self, sha256: str) -> Path:
        """Return where a content is."""
        return self.folder / sha256[:2] / sha256[2:4] / sha256

    def receive(self, limit: int) -> Incoming:
        """Return a new content to write to, of at most ``limit`` bytes."""
        return Incoming(self, limit)

    def put(self, content: bytes) -> str:
        """Keep a content and return its sha256."""
        with self.receive(len(content)) as incoming:
            incoming.write(content)
            return incoming.keep()


class Incoming:
    """A content on its way in; unless kept, nothing of it stays."""

    def __init__(self, blobs: Blobs, limit: int) -> None:
        self.blobs, self.limit, self.size = blobs, limit, 0
        self.digest = hashlib.sha256()
        self.place = blobs.unfinished / secrets.token_hex(16)
        self.file = self.place.open("xb")

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.place.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            RefusedError: They are more than was announced.
        """
        self.size += len(chunk)
        if self.size > self.limit:
            raise RefusedError(413, f"More than the announced {self.limit} bytes were sent.")
        self.digest.update(chunk)
        self.file.write(chunk)

    def check(self, sha256: str, size: int) -> None:
        """Refuse a content that is not the announced one; an empty ``sha256`` is any."""
        if self.size != size or sha256 not in {"", self.digest.hexdigest()}:
            raise RefusedError(422, "The bytes that were sent are not the announced ones.")

    def wait_at(self, place: Path) -> None:
        """Put a part where it waits for the others, without the care for the whole."""
        self.file.close()
        os.replace(self.place, place)

    def keep(self) -> str:
        """Put the content in its place, safe from a crash, and return its sha256."""
        sha256 = self.digest.hexdigest()
        target = self.blobs.path(sha256)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.place, target)
        for folder in (target.parent, target.parent.parent, self.blobs.folder):
            _force(folder)
        return sha256


def _force(folder: Path) -> None:
    """Force a folder's list of names to disk; Windows opens no folders and needs none of it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
