"""Pulling: a name is pinned to its commit, listed, then exactly what is needed is fetched.

Before a byte of a weight: the name means a commit, the list of files is sane, ``hub.json`` is
read, what it lists is what the commit holds, of kinds that can run nothing, and not too large.
Afterwards every file has been compared with the commit and with ``hub.json``, or nothing is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hub_core import adapter_config, inert, manifest, readers
from hub_core.errors import FormatError, HubError, IntegrityError, RemoteError, listed
from hub_core.identity import sha256_of
from hub_core.remote import lockfile, store
from hub_core.remote.connection import connected
from hub_core.remote.download import Progress, download_all
from hub_core.remote.endpoint import Endpoint
from hub_core.remote.listing import RemoteFile, list_files, resolve, sizes
from hub_core.remote.reference import Reference, parse
from hub_core.remote.wording import elsewhere

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LIMIT = 5 * 10**9
"""Bytes that are fetched without a question."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """A repository that was fetched.

    Args:
        folder: Where its files are.
        address: ``owner/name@commit``.
        ours: Whether it is an artifact; else it is what another library wrote.
        fetched: Bytes that had to be fetched.
    """

    folder: Path
    address: str
    ours: bool = True
    fetched: int = 0


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to pull.

    Args:
        limit: Bytes that may be fetched.
        lock: A lock file that has the say, if it exists.
        progress: Told of the bytes that arrive.
        total: Told how many bytes will be fetched, before they are.
    """

    limit: int = LIMIT
    lock: Path | None = None
    progress: Progress | None = None
    total: Progress = field(default=lambda _: None)


def pull(text: str, wishes: Wishes | None = None) -> Pulled:
    """Fetch a repository, an artifact or not; what is here already is not fetched again.

    Args:
        text: ``owner/name`` or ``owner/name@revision``.
        wishes: Limits and the lock file.

    Raises:
        RemoteError: The Hub does not have it, cannot be reached, or it is too large.
        FormatError: What it has is nothing that can be read, or could run code.
        IntegrityError: What came is not what the commit, ``hub.json`` or the lock file names.
    """
    wishes = wishes or Wishes()
    reference = parse(text)
    lock = lockfile.read(wishes.lock) if wishes.lock else lockfile.Lock()
    with connected() as (api, endpoint):
        reference = lock.pin(reference, wishes.lock or Path(lockfile.NAME))
        commit = resolve(api, endpoint, reference, memory=True)
        folder = store.place(endpoint, reference.name, commit)
        fetched = 0
        if not folder.is_dir():
            fetched = _fetch(api, endpoint, Reference(reference.name, commit), folder, wishes)
    if wishes.lock:
        lock.check(reference.name, hashes(folder), wishes.lock)
    ours = (folder / manifest.NAME).is_file()
    return Pulled(folder, f"{reference.name}@{commit}", ours, fetched)


def hashes(folder: Path) -> dict[str, str]:
    """Return path to sha256 for every file of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def _fetch(
    api: HfApi, endpoint: Endpoint, reference: Reference, target: Path, wishes: Wishes
) -> int:
    """Fetch a commit into its place and return how many bytes came."""
    listing = list_files(api, endpoint, reference.name, reference.revision)
    subject = f"{reference.name}@{reference.revision[:12]}"
    first = {manifest.NAME: listing[manifest.NAME]} if manifest.NAME in listing else {}
    with store.incoming(target, sum(sizes(first).values())) as folder:
        try:
            _get(api, reference, first, folder, wishes)
            rest = _plan(folder, listing, subject)
            _allow({**first, **rest}, wishes.limit, subject)
            store.require_room(folder, sum(sizes(rest).values()))
            _get(api, reference, rest, folder, wishes)
            _check(folder, {**first, **rest})
        except HubError as error:
            raise elsewhere(error, folder, subject) from None
        except OSError as error:
            raise _unwritable(error, subject) from None
    return sum(sizes({**first, **rest}).values())


def _plan(folder: Path, listing: Mapping[str, RemoteFile], subject: str) -> dict[str, RemoteFile]:
    """Return what is needed besides ``hub.json``.

    Raises:
        FormatError: Files of a kind that could run code, or nothing that can be read.
        IntegrityError: ``hub.json`` lists other files than the commit holds.
    """
    if manifest.NAME not in listing:
        _, wanted = readers.reader_for(sizes(listing))
    else:
        content = manifest.read(folder)
        wanted = list(content.files)
        _compare(content, listing, subject)
    inert.check_names(wanted)
    return {name: listing[name] for name in wanted}


def _compare(content: manifest.Manifest, listing: Mapping[str, RemoteFile], subject: str) -> None:
    """Compare what ``hub.json`` lists with what the commit holds, before anything is fetched."""
    problems = []
    for name, entry in content.files.items():
        found = listing.get(name)
        if found is None:
            problems.append(f"{name} is missing")
        elif found.size != entry.size:
            problems.append(f"{name} has {found.size:,} bytes, {manifest.NAME} says {entry.size:,}")
        elif found.sha256 and found.sha256 != entry.sha256:
            problems.append(f"{name} has another sha256 than {manifest.NAME} says")
    if problems:
        raise IntegrityError(
            f"{subject} is not what was published:{listed(problems[:10])}",
            hint="take another revision, or tell its owner",
        )


def _allow(files: Mapping[str, RemoteFile], limit: int, subject: str) -> None:
    if (size := sum(sizes(files).values())) > limit:
        raise RemoteError(
            f"{subject} has {size:,} bytes to fetch, more than the {limit:,} that are allowed",
            hint=f"if it may be that large: --max-download {size}",
        )


def _get(
    api: HfApi,
    reference: Reference,
    files: Mapping[str, RemoteFile],
    folder: Path,
    wishes: Wishes,
) -> None:
    wishes.total(sum(sizes(files).values()))
    if manifest.NAME in files and files[manifest.NAME].size > manifest.MAX_BYTES:
        raise FormatError(f"{manifest.NAME} is larger than {manifest.MAX_BYTES} bytes")
    download_all(api, reference.name, reference.revision, files, folder, wishes.progress)
    for name in files:
        inert.check_content(folder / name, name)


def _check(folder: Path, files: Mapping[str, RemoteFile]) -> None:
    """Check what came as a whole.

    What the commit names by its sha256 had it when it came, and ``hub.json`` agreed with the
    commit before: only the other files are read again.
    """
    if manifest.NAME in files:
        content = manifest.read(folder)
        rest = {name: entry for name, entry in content.files.items() if not files[name].sha256}
        if any(sha256_of(folder / name) != entry.sha256 for name, entry in rest.items()):
            manifest.check_files(folder, content)  # it tells all that is wrong
    if adapter_config.NAME in files:
        adapter_config.parse_adapter_config(folder / adapter_config.NAME)


def _unwritable(error: OSError, subject: str) -> RemoteError:
    return RemoteError(
        f"{subject} cannot be written: {error.strerror or error}",
        hint="free some disk space, or choose another cache folder with HUB_CORE_CACHE",
    )
