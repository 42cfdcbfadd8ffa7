"""What a repository holds at one commit, known before anything is downloaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub_core import notes
from hub_core.errors import RemoteError
from hub_core.remote.connection import nonsense
from hub_core.remote.endpoint import Endpoint
from hub_core.remote.patience import patiently
from hub_core.remote.reference import COMMIT, SHA256, Reference

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MOST_FILES = 2000
"""Files of a repository; an artifact has about ten."""
COMMITS = "commits.json"
"""The memory of which commit a name last meant, for when the Hub cannot be asked."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the Hub lists it: size in bytes; sha256 of large files, git's id of others."""

    size: int
    sha256: str = ""
    git_id: str = ""


def resolve(api: HfApi, endpoint: Endpoint, reference: Reference, *, memory: bool = False) -> str:
    """Return the commit that a reference means now.

    Args:
        api: The connection.
        endpoint: Where it leads.
        reference: What is asked for; a commit is taken as it is.
        memory: Where the Hub cannot be asked, take the commit that it last meant.

    Raises:
        RemoteError: There is no such repository or revision, or the Hub cannot be asked.
    """
    if reference.pinned:
        return reference.revision
    key = f"{endpoint.url} {reference}"
    if memory and (known := notes.read(COMMITS).get(key)) and _cannot_ask(api):
        return known
    info = patiently(
        str(reference),
        lambda: api.model_info(reference.name, revision=reference.revision or None),
    )
    found = info.sha
    if not isinstance(found, str) or not COMMIT.fullmatch(found):
        raise nonsense(endpoint.url, "commit", found)
    notes.note(COMMITS, key, found)
    return found


def _cannot_ask(api: HfApi) -> bool:
    """Return whether the Hub is out of reach; any answer at all means that it is not."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session, httpx

    if constants.is_offline_mode():
        return True
    try:
        get_session().head(api.endpoint, timeout=5)
    except (httpx.TransportError, OSError):
        return True
    return False


def list_files(api: HfApi, endpoint: Endpoint, name: str, commit: str) -> dict[str, RemoteFile]:
    """Return path to file, for every file of a commit.

    Raises:
        RemoteError: There are too many, a name leads out of a folder, or a hash is none.
    """
    subject = f"{name}@{commit[:12]}"

    def ask() -> dict[str, RemoteFile]:
        found: dict[str, RemoteFile] = {}
        for entry in api.list_repo_tree(name, revision=commit, recursive=True):
            if hasattr(entry, "blob_id"):
                found[_safe(entry.path, subject)] = _file(entry, endpoint)
            if len(found) > MOST_FILES:
                raise RemoteError(
                    f"{subject} has more than {MOST_FILES:,} files, which no artifact has",
                    hint="check the name",
                )
        return found

    return patiently(subject, ask, pauses=())


def _file(entry: Any, endpoint: Endpoint) -> RemoteFile:
    sha256 = entry.lfs.sha256 if entry.lfs else ""
    if not isinstance(entry.size, int) or entry.size < 0:
        raise RemoteError(f"{endpoint.url} lists {entry.path} with the size {entry.size!r}")
    if sha256 and not SHA256.fullmatch(sha256):
        raise nonsense(endpoint.url, f"sha256 of {entry.path}", sha256)
    if not sha256 and not COMMIT.fullmatch(str(entry.blob_id)):
        raise nonsense(endpoint.url, f"id of {entry.path}", entry.blob_id)
    return RemoteFile(entry.size, sha256, "" if sha256 else entry.blob_id)


def _safe(path: str, subject: str) -> str:
    """Return a path of the tree that stays inside a folder on every system."""
    parts = path.split("/")
    if "\\" in path or ":" in path or _CONTROL.search(path) or {"", ".", ".."} & set(parts):
        raise RemoteError(
            f"{subject} lists a file named {path[:80]!r}, which could lead out of its folder",
            hint="do not use this repository",
        )
    return path


def sizes(files: Mapping[str, RemoteFile]) -> dict[str, int]:
    """Return path to size in bytes."""
    return {path: file.size for path, file in files.items()}


def information(api: HfApi, reference: Reference) -> Any:
    """Return what the Hub says about a repository, ``huggingface_hub.ModelInfo``."""
    revision = reference.revision or None
    return patiently(str(reference), lambda: api.model_info(reference.name, revision=revision))
