"""What others publish, opened by installed readers, which their entry points name.

A reader says which files of a repository it needs, tells facts of them without loading, and opens
them. A reader that cannot be imported is only told of where no other one knows the repository.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from hub_core import added
from hub_core.errors import FormatError
from hub_core.wording import named

if TYPE_CHECKING:
    from hub_core.library import Opened

GROUP = "hub_core.readers"
"""Entry points: a name, and an object with the methods of ``Reader``."""
CONFIGURATIONS = frozenset({"adapter_config.json", "config.json"})
"""Files by which what other libraries write is known."""
UNSAFE = frozenset(
    {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".msgpack"}
)
"""Endings of weights that can run code when they are opened, or that nothing here reads."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a user says of a repository that does not say it itself.

    Args:
        labels: The labels in the order of the outputs.
        head: A safetensors file with ``weight`` (C, D) and ``bias`` (C,): a linear head.
        pooling: How such a head pools hidden states; default: as the base model was trained.
        backbone: Folder or Hub id of the base model.
        method: The head of the catalog that it is served with; default: what its files say.
        task: What the task is called.
    """

    labels: tuple[str, ...] = ()
    head: str = ""
    pooling: str = ""
    backbone: str = ""
    method: str = ""
    task: str = "main"


class Reader(Protocol):
    """One kind of repository."""

    def wanted(self, files: Mapping[str, int]) -> list[str] | None:
        """Return the files to fetch, or None if the repository is of another kind.

        Args:
            files: Path in the repository to size in bytes.

        Raises:
            FormatError: It is of this kind, and cannot be read.
        """
        ...

    def describe(self, folder: Path) -> list[tuple[str, str]]:
        """Return facts, each a name and a text, from files alone; nothing heavy is imported.

        Raises:
            FormatError: A file is not what it should be.
        """
        ...

    def open(self, folder: Path, given: Given) -> Opened:
        """Load the model.

        Raises:
            HubError: It cannot be served; the sentence says what to give.
        """
        ...


@functools.cache
def installed() -> tuple[dict[str, Reader], list[str]]:
    """Return the readers of this environment by name, and why others cannot be used.

    Nothing is imported of a plugin that is switched off or made for another hub-core.
    """
    readers: dict[str, Reader] = {}
    broken: list[str] = []
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        if why := added.refusal(point):
            broken.append(f"the reader {point.name} of {added.origin(point)} cannot be used: {why}")
            continue
        try:
            readers[point.name] = point.load()
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".replace("\n", " ")
            broken.append(f"the reader {point.name} is broken ({reason})")
    return readers, broken


def reader_for(files: Mapping[str, int]) -> tuple[Reader, list[str]]:
    """Return the reader of a repository and the files that it wants.

    Args:
        files: Path in the repository to size in bytes.

    Raises:
        FormatError: No reader knows it, or its weights are in files that can run code.
    """
    readers, broken = installed()
    for reader in readers.values():
        if (names := reader.wanted(files)) is not None:
            return reader, names
    refuse_unsafe(files)
    known = " or ".join(readers) or "none"
    raise FormatError(
        "this is neither an artifact of hub-core nor of a kind that an installed reader knows "
        f"({known}); it holds {named(sorted(files)) or 'no files'}",
        hint="; ".join([*broken, "check the name, or ask its author what it was made with"]),
    )


def refuse_unsafe(files: Mapping[str, int]) -> None:
    """Refuse files whose only weights can run code when they are opened.

    Raises:
        FormatError: There are such files, and no safetensors.
    """
    if any(PurePosixPath(name).suffix == ".safetensors" for name in files):
        return
    for name in sorted(files):
        if PurePosixPath(name).suffix in UNSAFE:
            raise FormatError(
                f"the weights are in {name}, and a file of that kind can run code when it is "
                "opened, so it is not read",
                hint="ask its author to publish safetensors, or convert it with the library that "
                "wrote it",
            )
