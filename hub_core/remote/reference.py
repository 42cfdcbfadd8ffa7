"""Names on the Hub: ``owner/name``, or ``owner/name@revision``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hub_core.errors import RemoteError

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,250}")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository, and a branch, tag or commit of it; an empty revision is its main branch."""

    name: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which can never come to mean something else."""
        return COMMIT.fullmatch(self.revision) is not None


def is_reference(text: str) -> bool:
    """Return whether a text reads like ``owner/name`` or ``owner/name@revision``."""
    name, at, revision = text.partition("@")
    return bool(_safe(name, _NAME) and (not at or _safe(revision, _REVISION)))


def parse(text: str) -> Reference:
    """Return a text as a reference.

    Raises:
        RemoteError: It is none.
    """
    if not is_reference(text):
        raise RemoteError(
            f"{text!r} is no name of a repository",
            hint="write owner/name or owner/name@revision",
        )
    name, _, revision = text.partition("@")
    return Reference(name, revision)


def _safe(text: str, pattern: re.Pattern[str]) -> bool:
    return pattern.fullmatch(text) is not None and ".." not in text and "--" not in text
