"""Models of others in huggingface_hub's own cache, fetched through the guarded connection."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub_core.errors import RemoteError
from hub_core.remote.connection import connected
from hub_core.remote.patience import patiently
from hub_core.remote.pull import LIMIT

log = logging.getLogger("hub_core")
TELL = 10**7
"""Bytes from which on a download is told of."""


def snapshot(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Return the folder of a commit, after fetching what the cache lacks of some patterns.

    Args:
        name: The repository; on the Hugging Face Hub also one without an owner.
        revision: A branch, tag or commit; None for the main branch.
        patterns: Names of files, with ``*``.

    Raises:
        RemoteError: It cannot be fetched, or is larger than ``HUB_MAX_DOWNLOAD`` bytes allow.
    """
    subject = f"{name}@{revision[:12]}" if revision else name
    with connected() as (api, endpoint):

        def ask(*, dry: bool) -> Any:
            from huggingface_hub import snapshot_download
            from huggingface_hub.errors import DryRunError, LocalEntryNotFoundError

            try:
                return snapshot_download(
                    name, revision=revision, allow_patterns=list(patterns), dry_run=dry,
                    endpoint=endpoint.url, token=api.token, library_name="hub-core",
                    tqdm_class=_silent() if dry else None,
                )  # fmt: skip
            except DryRunError:  # the Hub is out of reach: what is here may be enough
                return []
            except LocalEntryNotFoundError as error:  # why is in what it came from
                raise error.__cause__ or error from None

        if not _offline():
            missing = [file for file in patiently(subject, lambda: ask(dry=True))
                       if file.will_download]  # fmt: skip
            _allow(subject, sum(file.file_size for file in missing))
        return Path(patiently(subject, lambda: ask(dry=False)))


def _silent() -> type:
    """Return a progress bar that shows nothing."""
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "disable": True})  # type: ignore[no-untyped-call]

    return Silent


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.is_offline_mode()


def _allow(subject: str, size: int) -> None:
    """Tell of a download, or refuse one that is too large."""
    try:
        limit = int(os.environ.get("HUB_MAX_DOWNLOAD") or LIMIT)
    except ValueError:
        raise RemoteError("HUB_MAX_DOWNLOAD is no number", hint="write it in bytes") from None
    if size > limit:
        raise RemoteError(
            f"{subject} has {size:,} bytes to fetch, more than the {limit:,} that are allowed",
            hint=f"if it may be that large: set HUB_MAX_DOWNLOAD={size}",
        )
    if size >= TELL:
        log.info("fetching %s, %.0f MB", subject, size / 1e6)
