"""One guarded connection to a Hub: tokens, addresses and hashes are checked on every answer.

huggingface_hub has one client for a process. Ours is that one with two hooks, which do nothing
unless a connection is open: a request must not carry this Hub's token elsewhere or leave
encryption, an answer must not give hashes that are none (they become names of files).
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hub_core import __version__
from hub_core.errors import RemoteError
from hub_core.remote.endpoint import LOOPBACK, Endpoint, current, origin_of
from hub_core.remote.reference import COMMIT
from hub_core.remote.wording import without_secrets

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_HASH = re.compile(r'(W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?')
_HASHES = ("etag", "x-linked-etag")
_lock = threading.Lock()
_open: list[Endpoint] = []
_before: list[bool] = []
"""Whether Xet was off before the first connection that is open."""
_installed: list[Callable[..., Any]] = []


@contextmanager
def connected(endpoint: Endpoint | None = None) -> Iterator[tuple[HfApi, Endpoint]]:
    """Give huggingface_hub's interface to a Hub, guarded as long as the block lasts.

    Large files go the plain way (Git LFS), which every Hub has: Xet is off inside.

    Raises:
        RemoteError: The address of the Hub cannot be used; in the block, an answer that lies.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils import disable_progress_bars

    endpoint = endpoint or current()
    _install()
    if not sys.stderr.isatty():
        disable_progress_bars()
    with _lock:
        if not _open:
            _before[:] = [constants.HF_HUB_DISABLE_XET]
        _open.append(endpoint)
        constants.HF_HUB_DISABLE_XET = True
    try:
        yield (
            HfApi(
                endpoint=endpoint.url,
                token=endpoint.token or False,
                library_name="hub-core",
                library_version=__version__,
            ),
            endpoint,
        )
    finally:
        with _lock:
            _open.remove(endpoint)
            if not _open:
                constants.HF_HUB_DISABLE_XET = _before[0]


def _install() -> None:
    """Make huggingface_hub's clients with our hooks; what others set up for it stays."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    with _lock:
        made = getattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
        if made in _installed:
            return

        def guarded() -> Any:
            client = made()
            hooks = client.event_hooks
            hooks["request"] = [*hooks.get("request", ()), _check_request]
            hooks["response"] = [*hooks.get("response", ()), _check_answer]
            client.event_hooks = hooks
            return client

        _installed.append(guarded)
        set_client_factory(guarded)
        logging.getLogger(_http.__name__).addFilter(_blot)


def _blot(record: logging.LogRecord) -> bool:
    """Take signatures out of what the client tells of addresses that it asks again."""
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True


def _check_request(request: Any) -> None:
    """Refuse to send a Hub's token to another origin, or anything in the clear."""
    url, sent = str(request.url), request.headers.get("authorization", "")
    host = urlsplit(url).hostname or ""
    for endpoint in tuple(_open):
        if endpoint.token and endpoint.token in sent and origin_of(url) != endpoint.origin:
            raise RemoteError(
                f"{endpoint.url} asks to send its token to {origin_of(url)}; nothing was sent",
                hint="do not use this Hub before its owner has explained that",
            )
    if not _open:
        return
    known = any(origin_of(url) == endpoint.origin for endpoint in tuple(_open))
    clear = urlsplit(url).scheme != "https" and host not in LOOPBACK
    inward = host in LOOPBACK and not any(endpoint.local for endpoint in tuple(_open))
    if not known and (clear or inward):
        raise RemoteError(
            f"{_open[-1].url} leads to {origin_of(url)}, which is not encrypted"
            if clear
            else f"{_open[-1].url} leads to {origin_of(url)}, which is on this machine",
            hint="do not use this Hub before its owner has explained that",
        )


def _check_answer(response: Any) -> None:
    """Refuse an answer whose hashes are none: clients use them as names of files."""
    url = str(response.request.url)
    if not any(origin_of(url) == endpoint.origin for endpoint in tuple(_open)):
        return
    for header in _HASHES:
        value = response.headers.get(header)
        if "/resolve/" in url and value is not None and not _HASH.fullmatch(value):
            raise nonsense(origin_of(url), header, value)
    commit = response.headers.get("x-repo-commit")
    if commit is not None and not COMMIT.fullmatch(commit):
        raise nonsense(origin_of(url), "x-repo-commit", commit)


def nonsense(origin: str, what: str, value: object) -> RemoteError:
    """Return the error for an answer that no honest Hub gives."""
    return RemoteError(
        f"{origin} gives {what} {str(value)[:60]!r}, which is no hash",
        hint="do not use this Hub before its owner has explained that",
    )
