"""A very large file in parts, each sent on its own, so that a broken line costs one part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hub_server.blobs import Blobs
from hub_server.refusal import RefusedError
from hub_server.signing import Upload

FROM = 1024**3
"""Bytes from which on a file is sent in parts."""

PART = 256 * 1024**2
"""Bytes of a part other than the last."""


def parts(whole: Upload) -> list[Upload]:
    """Return the parts of an upload in order."""
    count = -(-whole.size // PART)
    sizes = [PART] * (count - 1) + [whole.size - PART * (count - 1)]
    return [Upload(whole.repository, whole.oid, size, n + 1) for n, size in enumerate(sizes)]


def place(blobs: Blobs, part: Upload) -> Path:
    """Return where a part waits for the others; a restart forgets it."""
    return blobs.unfinished / f"{part.repository}-{part.oid}-{part.part}"


def join(blobs: Blobs, whole: Upload, body: dict[str, Any]) -> None:
    """Put an upload's parts together and keep the whole.

    Raises:
        RefusedError: A part is missing, or the whole is not what was announced.
    """
    wanted = parts(whole)
    listed = body.get("parts")
    numbers = [one.get("partNumber") if isinstance(one, dict) else 0 for one in listed or ()]
    if body.get("oid") != whole.oid or numbers != [part.part for part in wanted]:
        raise RefusedError(422, f"The upload has {len(wanted)} parts; name each of them in order.")
    places = [place(blobs, part) for part in wanted]
    missing = [part.part for part, path in zip(wanted, places, strict=True) if not path.is_file()]
    if missing:
        raise RefusedError(422, f"Part {missing[0]} of the upload has not arrived.")
    with blobs.receive(whole.size) as incoming:
        for chunk in _chunks(places):
            incoming.write(chunk)
        incoming.check(whole.oid, whole.size)
        incoming.keep()
    for path in places:
        path.unlink()


def _chunks(places: list[Path]) -> Iterator[bytes]:
    for path in places:
        with path.open("rb") as file:
            while chunk := file.read(1024 * 1024):
                yield chunk
