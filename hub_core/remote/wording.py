"""What a Hub or the way to it refuses, as sentences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hub_core.errors import HubError, RemoteError

_SECRET = re.compile(r"hf_[A-Za-z0-9]{6,}|Bearer \S+|(X-Amz-Signature|sig(nature)?)=[^&\s]+")


def told(error: Exception, subject: str) -> HubError:
    """Return an exception of the client as an error for people.

    Args:
        error: What was raised.
        subject: What was asked about, such as ``owner/name``.
    """
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx

    if isinstance(error, HubError):
        return error
    if isinstance(error, errors.OfflineModeIsEnabled):
        return RemoteError(
            f"{subject} is needed from the Hub, and HF_HUB_OFFLINE forbids asking it",
            hint="unset HF_HUB_OFFLINE, or fetch it before: hub pull",
        )
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        return _refused(error, subject)
    if isinstance(error, errors.LocalEntryNotFoundError):
        return RemoteError(
            f"{subject} is not on this machine, and the Hub cannot be reached: {first_line(error)}",
            hint=_CONNECTION,
        )
    if isinstance(error, httpx.TimeoutException):
        return RemoteError(f"{subject}: the Hub did not answer in time", hint=_CONNECTION)
    if isinstance(error, httpx.HTTPError):
        return RemoteError(f"{subject}: the Hub cannot be reached: {first_line(error)}",
                           hint=_CONNECTION)  # fmt: skip
    if isinstance(error, errors.HFValidationError):
        return RemoteError(f"{subject}: {first_line(error)}", hint="write owner/name")
    if isinstance(error, OSError) and error.errno is not None:
        where = f": {error.filename}" if error.filename else ""
        return RemoteError(f"{subject}: {error.strerror}{where}",
                           hint="free some disk space, or check the folder")  # fmt: skip
    return RemoteError(f"{subject}: the Hub's answer cannot be used: {first_line(error)}",
                       hint="check that HF_ENDPOINT is the address of a Hub")  # fmt: skip


_CONNECTION = "check your connection and HF_ENDPOINT, then try again"
_LOGIN = "log in with 'hub login', or ask its owner for access"


def _refused(error: Any, subject: str) -> RemoteError:
    """Return the sentence for an answer with an error status."""
    from huggingface_hub import errors

    status, words = error.response.status_code, server_words(error)
    if isinstance(error, errors.GatedRepoError):
        return RemoteError(f"{subject} is gated: its owner must let you in first",
                           hint="ask for access on its page, then 'hub login'")  # fmt: skip
    if isinstance(error, errors.DisabledRepoError):
        return RemoteError(f"{subject} was disabled by the Hub", hint="ask its owner")
    if isinstance(error, errors.RepositoryNotFoundError):
        return RemoteError(f"{subject} does not exist on the Hub, or is private to others",
                           hint=f"check the name; if it is private, {_LOGIN}")  # fmt: skip
    if isinstance(error, errors.RevisionNotFoundError):
        return RemoteError(f"{subject}: the repository has no such branch, tag or commit",
                           hint="leave the revision out, or name one that it has")  # fmt: skip
    if isinstance(error, errors.EntryNotFoundError):
        return RemoteError(f"{subject} is not in the repository",
                           hint="it may not have been published whole: ask its owner")  # fmt: skip
    if status == 401:
        return RemoteError(f"{subject}: the Hub does not accept this token: {words}",
                           hint="log in again: 'hub login'")  # fmt: skip
    if status == 403:
        return RemoteError(f"{subject}: your token may not do this: {words}",
                           hint="use a token with the role write, of an account or team that "
                                "owns the repository")  # fmt: skip
    if status == 429:
        return RemoteError(f"{subject}: the Hub asks for fewer requests: {words}",
                           hint="wait a while, then try again")  # fmt: skip
    return RemoteError(f"{subject}: the Hub answers {status}: {words}",
                       hint="try again later" if status >= 500 else "")  # fmt: skip


def server_words(error: Any) -> str:
    """Return what the server says for itself, on one line and without secrets."""
    found = getattr(error, "server_message", None) or ""
    return first_line(found) if found else first_line(error)


def first_line(value: object) -> str:
    """Return the first line of a message, cut, and without tokens or signatures."""
    lines = [line.strip() for line in str(value).splitlines() if line.strip()]
    line = without_secrets(lines[0] if lines else type(value).__name__)
    return "".join(c if c.isprintable() else " " for c in line)[:300]


def without_secrets(text: str) -> str:
    """Return a text with tokens and signatures blotted out."""
    return _SECRET.sub("<secret>", text)


def elsewhere(error: HubError, folder: Path, subject: str) -> HubError:
    """Return an error that names a repository instead of a folder that will be gone."""
    text = error.message
    for start in (f"{folder}/", f"{folder}\\"):
        text = text.replace(start, f"{subject}: ")
    return type(error)(text.replace(str(folder), subject), hint=error.hint)
