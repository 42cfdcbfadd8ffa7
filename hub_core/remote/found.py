"""Where an artifact is: a folder on this machine, or a name on the Hub, which is pulled."""

from __future__ import annotations

from pathlib import Path

from hub_core import manifest
from hub_core.errors import FormatError
from hub_core.remote.pull import Pulled, Wishes, pull
from hub_core.remote.reference import is_reference


def find(place: str | Path, wishes: Wishes | None = None) -> Pulled:
    """Return a folder as it is, and a name on the Hub once its files are here.

    Raises:
        FormatError: There is no such folder.
        RemoteError: It is a name on the Hub, and cannot be fetched; also what ``pull`` raises.
    """
    folder = Path(place)
    if folder.is_dir():
        return Pulled(folder, "", (folder / manifest.NAME).is_file())
    if isinstance(place, str) and is_reference(place):
        return pull(place, wishes)
    raise FormatError(
        f"there is no folder {place}",
        hint="name a folder that 'hub train' wrote, or owner/name on the Hub",
    )
