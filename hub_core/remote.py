"""Artifacts on the Hub: a name is pinned to its commit, then exactly the listed files are fetched.

They lie in the cache folder of this user, a folder for each commit. Nothing but what ``hub.json``
lists is fetched, and its hashes are compared afterwards as with any artifact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hub_core import manifest
from hub_core.errors import RemoteError
from hub_core.identity import cache_folder

NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
"""``owner/name``, or ``owner/name@revision``."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """An artifact that was fetched: its folder, and ``owner/name@commit``."""

    folder: Path
    address: str


def fetch(reference: str) -> Fetched:
    """Fetch an artifact; files that are here already are not fetched again.

    Raises:
        RemoteError: The Hub does not have it, or cannot be reached.
        FormatError: What it has is no artifact.
    """
    name, _, revision = reference.partition("@")
    commit = _commit(name, revision or None)
    folder = cache_folder() / "artifacts" / name.replace("/", "--") / commit
    _download(name, commit, manifest.NAME, folder)
    for file in manifest.read(folder).files:
        _download(name, commit, file, folder)
    return Fetched(folder, f"{name}@{commit}")


def _commit(name: str, revision: str | None) -> str:
    """Return the commit that a branch or tag has now."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if revision and _COMMIT.fullmatch(revision):
        return revision
    try:
        found = HfApi().model_info(name, revision=revision).sha or ""
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise _failed(name, error) from None
    if not _COMMIT.fullmatch(found):  # it becomes a folder's name
        raise RemoteError(f"the Hub gives no commit for {name}, but {found[:60]!r}")
    return found


def _download(name: str, commit: str, file: str, folder: Path) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    try:
        hf_hub_download(name, file, revision=commit, local_dir=folder)
    except EntryNotFoundError:
        raise RemoteError(
            f"{name} has no file {file} at {commit[:12]}",
            hint="it is no artifact, or not all of it was published",
        ) from None
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise _failed(name, error) from None


def _failed(name: str, error: Exception) -> RemoteError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return RemoteError(
        f"{name} cannot be fetched from the Hub: {reason[0]}",
        hint="check the name and your connection, or give a folder",
    )
