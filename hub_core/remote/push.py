"""Publishing: one commit, whole or not at all, on top of what was there when it began.

What may be published is decided before the Hub hears of anything: the files are those that
``hub.json`` lists, of kinds that can run nothing, without secrets or paths of this machine.
Afterwards the Hub's list of the commit is compared with what was sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_core import inert, manifest, scan
from hub_core.errors import FormatError, IntegrityError, RemoteError, listed
from hub_core.remote.connection import connected
from hub_core.remote.download import download, git_id
from hub_core.remote.endpoint import Endpoint
from hub_core.remote.listing import RemoteFile, list_files
from hub_core.remote.patience import patiently

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

CARD = "README.md"
HARMLESS = frozenset({".gitattributes", CARD, "LICENSE", "LICENSE.txt", "LICENSE.md"})
"""Files that may be in a repository beside an artifact."""
EMPTY = frozenset({".gitattributes"})
"""What a Hub puts into a new repository."""

Hashed = Mapping[str, "CommitOperationAdd"]
"""Name to file with its sha256, which is read once, then sent and compared."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to publish.

    Args:
        name: ``owner/name``.
        private: Only its owner may see it.
        tag: A tag for the commit, or empty.
        message: The commit's message.
        pull_request: Propose it instead of changing the main branch.
        overwrite: Files that are no artifact's may be deleted.
    """

    name: str
    private: bool = False
    tag: str = ""
    message: str = "Publish with hub-core"
    pull_request: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was published: its commit and address, and whether anything changed."""

    name: str
    commit: str
    url: str
    changed: bool = True


def check(files: Mapping[str, Path]) -> None:
    """Refuse what must not be published; nothing is asked of the Hub.

    Args:
        files: Name in the repository to the file.

    Raises:
        ArtifactError: Secrets, paths of this machine, links.
        FormatError: Kinds of files that could run code, or that are not what their name says.
    """
    inert.check_names(name for name in files if name != CARD and not name.endswith(".png"))
    for folder in sorted({path.parent for path in files.values()}):
        scan.check_publishable(folder, [p.name for p in files.values() if p.parent == folder])
    for name, path in files.items():
        if name != CARD and not name.endswith(".png"):
            inert.check_content(path, name)


def push(files: Mapping[str, Path], wanted: Wanted, known: Hashed | None = None) -> Pushed:
    """Publish files as one commit; what an earlier artifact had besides is deleted with it.

    Args:
        files: Name in the repository to the file, already checked.
        wanted: Where and how.
        known: Those of the files that ``hashed`` has read before.

    Raises:
        RemoteError: The Hub refuses, cannot be reached, or has something else there.
        IntegrityError: The Hub lists other bytes than were sent.
    """
    with connected() as (api, endpoint), ThreadPoolExecutor(1) as beside:
        hashing = beside.submit(hashed, files, known or {})  # while the Hub is asked
        parent, empty = _repository(api, endpoint, wanted)
        there = {} if empty else list_files(api, endpoint, wanted.name, parent)
        gone = _gone(api, wanted, there, files, parent)
        _check_tag(api, wanted)
        ours = _read(hashing)
        if parent and not gone and not _different(ours, there):
            done = Pushed(wanted.name, parent, _page(endpoint, wanted.name), changed=False)
        else:
            done = _commit(api, endpoint, wanted, ours, gone, parent)
            if not wanted.pull_request:
                _confirm(api, endpoint, done, ours)
        if wanted.tag:
            _tag(api, wanted, done.commit)
    return done


def hashed(files: Mapping[str, Path], known: Hashed | None = None) -> Hashed:
    """Return files with their sha256; of those that are known already none is read again.

    Raises:
        OSError: One cannot be read.
        ValueError: One is not there.
    """
    from huggingface_hub import CommitOperationAdd

    ours = {}
    for name, path in files.items():
        before = (known or {}).get(name)
        same = before is not None and before.path_or_fileobj == str(path)
        ours[name] = before if before and same else CommitOperationAdd(name, str(path))
        _ = ours[name].upload_info.sha256  # else it is read when it is first asked for
    return ours


def _read(hashing: Future[Hashed]) -> Hashed:
    """Return what a thread has read.

    Raises:
        FormatError: A file cannot be read any more.
    """
    try:
        return hashing.result()
    except (OSError, ValueError) as error:
        raise FormatError(f"a file to publish cannot be read: {error}") from None


def _page(endpoint: Endpoint, name: str) -> str:
    return f"{endpoint.url}/{name}"


def _repository(api: HfApi, endpoint: Endpoint, wanted: Wanted) -> tuple[str, bool]:
    """Return the newest commit of the repository and whether it holds nothing.

    One that is not there is made.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> Any:
        try:
            return api.model_info(wanted.name)
        except RepositoryNotFoundError:
            return None

    info = patiently(wanted.name, ask)
    if info is None:
        if wanted.pull_request:
            raise RemoteError(f"{wanted.name} does not exist, so there is nothing to propose to",
                              hint="check the name, or leave --pr out")  # fmt: skip
        patiently(wanted.name, lambda: _create(api, wanted))
        info = patiently(wanted.name, lambda: api.model_info(wanted.name))
    elif wanted.private and not info.private:
        raise RemoteError(
            f"{wanted.name} exists and is public, so nothing in it would be private",
            hint="choose another name, or make it private on its page first",
        )
    names = {entry.rfilename for entry in info.siblings or ()}
    return info.sha or "", not info.sha or (info.siblings is not None and names <= EMPTY)


def _create(api: HfApi, wanted: Wanted) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(wanted.name, private=wanted.private or None, exist_ok=False)
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code != 409:
            raise
        # it was made meanwhile, or is private to others: the commit will tell
        return


def _gone(
    api: HfApi,
    wanted: Wanted,
    there: Mapping[str, RemoteFile],
    files: Mapping[str, Path],
    parent: str,
) -> list[str]:
    """Return what has to be deleted: the files of the artifact that was there before.

    Raises:
        RemoteError: The repository holds something else.
    """
    before: set[str] = set()
    if manifest.NAME in there:
        before = {manifest.NAME, *_files_of(api, wanted.name, there[manifest.NAME], parent)}
    pictures = {name for name in there if name.endswith(".png")}
    others = sorted(set(there) - set(files) - before - pictures - HARMLESS)
    if others and not wanted.overwrite:
        shown = others[:5] + ([f"and {len(others) - 5} more"] if len(others) > 5 else [])
        raise RemoteError(
            f"{wanted.name} holds files that are of no artifact:{listed(shown)}",
            hint="choose another name, or delete them with --overwrite",
        )
    return sorted((before & set(there)) - set(files)) + (others if wanted.overwrite else [])


def _files_of(api: HfApi, name: str, file: RemoteFile, commit: str) -> set[str]:
    """Return the files that the ``hub.json`` of a commit lists; of one that is broken, none."""
    if file.size > manifest.MAX_BYTES:
        return set()
    with tempfile.TemporaryDirectory(prefix="hub-core-") as scratch:
        download(api, name, commit, manifest.NAME, file, Path(scratch) / manifest.NAME)
        try:
            return set(manifest.read(Path(scratch)).files)
        except FormatError:
            return set()


def _check_tag(api: HfApi, wanted: Wanted) -> None:
    if not wanted.tag:
        return
    refs = patiently(wanted.name, lambda: api.list_repo_refs(wanted.name))
    if any(tag.name == wanted.tag for tag in refs.tags):
        raise _taken(wanted)


def _taken(wanted: Wanted) -> RemoteError:
    return RemoteError(
        f"{wanted.name} has a tag {wanted.tag} already, which must keep its meaning",
        hint="choose another tag",
    )


def _different(ours: Hashed, there: Mapping[str, RemoteFile]) -> list[str]:
    """Return the names of our files that the Hub lists otherwise, or not at all."""
    pairs = {name: (file, there.get(name)) for name, file in ours.items()}
    return [name for name, (file, like) in pairs.items() if like != _listed(file, like)]


def _listed(file: CommitOperationAdd, like: RemoteFile | None) -> RemoteFile:
    """Return a file as the Hub would list it, if it keeps it the way it keeps ``like``."""
    size = file.upload_info.size
    if like is not None and like.size == size and like.git_id:
        return RemoteFile(size, git_id=git_id(Path(str(file.path_or_fileobj)).read_bytes()))
    return RemoteFile(size, sha256=file.upload_info.sha256.hex())


def _commit(
    api: HfApi,
    endpoint: Endpoint,
    wanted: Wanted,
    ours: Hashed,
    gone: list[str],
    parent: str,
) -> Pushed:
    """Make the commit; an answer that got lost on the way is not taken for a failure."""
    from huggingface_hub import CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    tries = 0

    def send() -> Pushed:
        nonlocal tries
        tries += 1
        deletions = [CommitOperationDelete(name) for name in gone]
        try:
            made = api.create_commit(
                wanted.name,
                [*ours.values(), *deletions],
                commit_message=wanted.message,
                parent_commit=parent or None,
                create_pr=wanted.pull_request or None,
            )
        except HfHubHTTPError as error:
            if error.response is None or error.response.status_code != 412:
                raise
            if tries > 1 and (found := _ours(api, endpoint, wanted, ours)):
                return found
            raise RemoteError(
                f"{wanted.name} was changed by somebody else meanwhile; nothing was published",
                hint="look at what is there now, then push again",
            ) from None
        except RuntimeError as error:  # the client's word for a file that could not be sent
            raise error.__cause__ or error from None
        url = made.pr_url or _page(endpoint, wanted.name)
        return Pushed(wanted.name, made.oid, url)

    return patiently(wanted.name, send)


def _ours(api: HfApi, endpoint: Endpoint, wanted: Wanted, ours: Hashed) -> Pushed | None:
    """Return the newest commit if it holds exactly our files."""
    commit = patiently(wanted.name, lambda: api.model_info(wanted.name)).sha or ""
    there = list_files(api, endpoint, wanted.name, commit)
    same = not _different(ours, there)
    return Pushed(wanted.name, commit, _page(endpoint, wanted.name)) if same else None


def _confirm(api: HfApi, endpoint: Endpoint, done: Pushed, ours: Hashed) -> None:
    """Compare what the Hub lists at the new commit with what was sent."""
    if wrong := _different(ours, list_files(api, endpoint, done.name, done.commit)):
        raise IntegrityError(
            f"{done.name}@{done.commit[:12]} does not hold what was sent:{listed(wrong[:10])}",
            hint="push again; if it stays so, do not use this Hub",
        )


def _tag(api: HfApi, wanted: Wanted, commit: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    def make() -> None:
        try:
            api.create_tag(wanted.name, tag=wanted.tag, revision=commit)
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code == 409:
                raise _taken(wanted) from None
            raise

    patiently(f"{wanted.name}: tag {wanted.tag}", make)
