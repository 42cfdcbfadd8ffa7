"""Looking at a repository before a weight is downloaded: ``hub.json``, or what others wrote."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_core import manifest, readers
from hub_core.errors import FormatError, HubError
from hub_core.manifest import Manifest
from hub_core.remote.connection import connected
from hub_core.remote.download import download
from hub_core.remote.listing import information, list_files, resolve, sizes
from hub_core.remote.reference import Reference, parse
from hub_core.remote.wording import elsewhere

MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Look:
    """What a repository is, as far as small files tell.

    Args:
        address: ``owner/name@commit``.
        content: Its ``hub.json``, or None for what is no artifact of ours.
        facts: Of what is none: what its own files say, as rows.
        license: As its card says, or empty.
        private: Whether others cannot see it.
        modified: The day of the last change, or empty.
        files: Path to size in bytes, of everything in it.
        needed: Bytes that a pull fetches.
    """

    address: str
    content: Manifest | None
    facts: tuple[tuple[str, str], ...]
    license: str
    private: bool
    modified: str
    files: Mapping[str, int]
    needed: int


def look(text: str) -> Look:
    """Return what a repository is; only small files are fetched, and none is kept.

    Raises:
        RemoteError: The Hub does not have it, or cannot be reached.
        FormatError: It holds nothing that can be read.
    """
    reference = parse(text)
    with connected() as (api, endpoint):
        info = information(api, reference)
        commit = resolve(api, endpoint, Reference(reference.name, info.sha or ""))
        listing = list_files(api, endpoint, reference.name, commit)
        address = f"{reference.name}@{commit}"
        with tempfile.TemporaryDirectory(prefix="hub-core-") as scratch:
            folder = Path(scratch)
            ours = manifest.NAME in listing
            for name in [manifest.NAME] if ours else sorted(readers.CONFIGURATIONS):
                if name in listing:
                    file = listing[name]
                    if file.size > (manifest.MAX_BYTES if ours else MOST_BYTES):
                        raise FormatError(f"{address}: {name} has {file.size:,} bytes")
                    download(api, reference.name, commit, name, file, folder / name)
            try:
                content = manifest.read(folder) if ours else None
                facts = () if ours else _facts(folder, sizes(listing))
            except HubError as error:
                raise elsewhere(error, folder, address) from None
    needed = list(content.files) if content else readers.reader_for(sizes(listing))[1]
    card = info.card_data
    return Look(
        address=address,
        content=content,
        facts=facts,
        license=str(getattr(card, "license", None) or ""),
        private=bool(info.private),
        modified=info.last_modified.date().isoformat() if info.last_modified else "",
        files=sizes(listing),
        needed=sum(listing[name].size for name in needed if name in listing)
        + (listing[manifest.NAME].size if ours else 0),
    )


def _facts(folder: Path, files: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    reader, _ = readers.reader_for(files)
    return tuple(reader.describe(folder))
