"""Files from the Hub, hashed while they arrive; what breaks off goes on where it was.

The client's own download trusts the length; here a file counts only if its bytes have the sha256,
or git's id, that the commit gives it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hub_core.errors import IntegrityError
from hub_core.remote.listing import RemoteFile
from hub_core.remote.patience import PASSING, patiently

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Progress = Callable[[int], None]
"""Told how many bytes have arrived since the last call."""
AT_ONCE = 4
"""Files that are asked for at the same time; most are so small that asking takes the time."""


def download_all(
    api: HfApi,
    name: str,
    commit: str,
    files: Mapping[str, RemoteFile],
    folder: Path,
    progress: Progress | None = None,
) -> None:
    """Write files of a commit into a folder; if one fails, the others stop.

    Raises:
        RemoteError: One cannot be fetched.
        IntegrityError: What came is not what the commit names.
    """
    stop, one = threading.Event(), threading.Lock()

    def arrived(count: int) -> None:
        if stop.is_set():
            raise _StoppedError
        if progress:
            with one:
                progress(count)

    def fetch(path: str) -> None:
        if not stop.is_set():
            download(api, name, commit, path, files[path], folder / path, arrived)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            fetching = [pool.submit(fetch, path) for path in files]
            done, _ = wait(fetching, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    for finished in done:  # nothing had been stopped when they were
        finished.result()


class _StoppedError(Exception):
    """Another file has failed, or somebody has had enough."""


def download(
    api: HfApi,
    name: str,
    commit: str,
    path: str,
    file: RemoteFile,
    target: Path,
    progress: Progress | None = None,
) -> None:
    """Write one file of a commit to ``target``.

    Raises:
        RemoteError: It cannot be fetched.
        IntegrityError: What came is not what the commit names.
    """
    subject = f"{name}@{commit[:12]}: {path}"
    url = f"{api.endpoint}/{name}/resolve/{commit}/{quote(path)}"
    arriving = _Arriving(file, target, subject, progress or (lambda _: None))
    with target.open("wb") as out:
        patiently(subject, lambda: arriving.receive(url, api, out))
    arriving.check()


class _Arriving:
    """What has arrived of a file so far."""

    def __init__(self, file: RemoteFile, target: Path, subject: str, progress: Progress) -> None:
        self.file, self.target, self.subject, self.progress = file, target, subject, progress
        self._begin()

    def _begin(self) -> None:
        self.count = 0
        self.digest = hashlib.sha256() if self.file.sha256 else git_digest(self.file.size)

    def receive(self, url: str, api: HfApi, out: Any) -> None:
        """Ask for what is missing, and take it."""
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        headers = build_hf_headers(token=api.token, library_name="hub-core")
        headers["Accept-Encoding"] = "identity"  # lengths and ranges are those of the file
        if self.count:
            headers["Range"] = f"bytes={self.count}-"
        with get_session().stream("GET", url, headers=headers, timeout=30) as response:
            if response.status_code in PASSING or response.is_error:
                response.read()  # the reason is in the body
            hf_raise_for_status(response)
            if response.status_code != 206 and self.count:
                self.progress(-self.count)
                out.seek(0)
                out.truncate()
                self._begin()
            for piece in response.iter_raw(2**18):
                self._take(piece, out)
        if self.count < self.file.size:
            raise _breaking_off(self.count, self.file.size)

    def _take(self, piece: bytes, out: Any) -> None:
        self.count += len(piece)
        if self.count > self.file.size:
            raise IntegrityError(
                f"{self.subject} is longer than the {self.file.size:,} bytes it was listed with",
                hint="do not use this Hub before its owner has explained that",
            )
        out.write(piece)
        self.digest.update(piece)
        self.progress(len(piece))

    def check(self) -> None:
        """Refuse bytes that are not those of the commit."""
        wanted = self.file.sha256 or self.file.git_id
        if (found := self.digest.hexdigest()) != wanted:
            raise IntegrityError(
                f"{self.subject}: the bytes that came have the hash {found[:16]}…, "
                f"the commit names {wanted[:16]}…",
                hint="try again; if it stays so, do not use this Hub",
            )


def _breaking_off(count: int, size: int) -> Exception:
    from huggingface_hub.utils import httpx

    return httpx.RemoteProtocolError(f"the answer ended after {count:,} of {size:,} bytes")


def git_digest(size: int) -> Any:
    """Return a digest of git's id of a file: sha1 over ``blob SIZE``, a zero byte, the content."""
    return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)


def git_id(content: bytes) -> str:
    """Return git's id of a file's content."""
    digest = git_digest(len(content))
    digest.update(content)
    return str(digest.hexdigest())
