"""``hub.lock``: which bytes a name means here, for those who want the same ones every time.

JSON: for every name its commit and the sha256 of every file. A name that is locked is fetched at
that commit, and every file must have that sha256, whatever the Hub says by then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub_core.errors import FormatError, IntegrityError, RemoteError, listed
from hub_core.manifest import Sha256
from hub_core.remote.reference import Reference, is_reference

NAME = "hub.lock"
FORMAT = 1


class Locked(BaseModel):
    """What a name means: the Hub, the commit, and path to sha256."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    endpoint: str
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    files: dict[str, Sha256]


class Lock(BaseModel):
    """The content of ``hub.lock``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: int = Field(default=FORMAT, strict=True, ge=1)
    artifacts: dict[str, Locked] = Field(default_factory=dict)

    def pin(self, reference: Reference, path: Path) -> Reference:
        """Return a reference at its locked commit, or as it is where it is not locked.

        Raises:
            RemoteError: Another revision was asked for than the one that is locked.
        """
        known = self.artifacts.get(reference.name)
        if known is None:
            return reference
        if reference.revision and reference.revision != known.commit:
            raise RemoteError(
                f"{reference} is not what {path} has locked: {known.commit[:12]}",
                hint=f"leave the revision out, or lock the new one: hub lock {reference}",
            )
        return Reference(reference.name, known.commit)

    def check(self, name: str, found: Mapping[str, str], path: Path) -> None:
        """Compare the sha256 of every fetched file with the locked ones.

        Raises:
            IntegrityError: They differ; all differences are told.
        """
        known = self.artifacts.get(name)
        if known is None or known.files == dict(found):
            return
        problems = [
            f"{file}: {_short(found.get(file))}, locked is {_short(known.files.get(file))}"
            for file in sorted({*found, *known.files})
            if found.get(file) != known.files.get(file)
        ]
        raise IntegrityError(
            f"{name}@{known.commit[:12]} is not what {path} has locked:{listed(problems[:10])}",
            hint="a commit never changes by itself: do not use this Hub before its owner has "
            "explained that",
        )


def _short(sha256: str | None) -> str:
    return f"sha256 {sha256[:16]}…" if sha256 else "no such file"


def read(path: Path) -> Lock:
    """Return a lock file's content; an absent one is empty.

    Raises:
        FormatError: It is no lock file, or of a newer format.
    """
    if not path.is_file():
        return Lock()
    try:
        lock = Lock.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValidationError, ValueError, RecursionError) as error:
        raise FormatError(
            f"{path} is no lock file: {str(error).splitlines()[0]}",
            hint="delete it, then lock again: hub lock owner/name",
        ) from None
    if lock.format > FORMAT:
        raise FormatError(f"{path} has format {lock.format}, this hub-core reads up to {FORMAT}",
                          hint="update hub-core")  # fmt: skip
    if strange := [name for name in lock.artifacts if not is_reference(name)]:
        raise FormatError(f"{path} locks {strange[0]!r}, which is no name of a repository")
    return lock


def write(path: Path, lock: Lock) -> None:
    """Replace a lock file as a whole, names in order."""
    values = lock.model_dump(mode="json")
    values["artifacts"] = dict(sorted(values["artifacts"].items()))
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RemoteError(
            f"{path} cannot be written: {error.strerror}",
            hint="free some disk space, or choose another folder",
        ) from None
