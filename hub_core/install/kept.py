"""Put an environment back as it was before an installation that failed.

Noted before are the distributions with their versions, what lies at the top of the folders that
pip writes to, and which of the plugin's own files exist; the files of its old version are copied.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from hub_core.catalog import label_of
from hub_core.install.checks import files_of, installed_named, versions

CLOCK = 2.0
"""Seconds by which the clocks of file systems may differ."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An environment as it was.

    Args:
        versions: Distribution to version.
        tops: What lay at the top of each folder.
        absent: Files that the plugin brings and that were not there.
        copies: Files of the plugin's old version, and where their copies are.
        since: When that was, in seconds since the epoch.
    """

    versions: dict[str, str]
    tops: dict[Path, frozenset[str]]
    absent: tuple[Path, ...]
    copies: dict[Path, Path]
    since: float

    def restore(self) -> list[str]:
        """Put it back; return the distributions that still differ."""
        importlib.invalidate_caches()
        for found in metadata.distributions():
            if label_of(found) not in self.versions:
                _remove(path for path in files_of(found) if self._is_new(path))
        _remove(self.absent)
        for folder, names in self.tops.items():
            for name in set(_listed(folder)) - names:
                _remove([folder / name])
        for path, copy in self.copies.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(copy, path)
        now = versions()
        return sorted(name for name in {*now, *self.versions}
                      if now.get(name) != self.versions.get(name))  # fmt: skip

    def _is_new(self, path: Path) -> bool:
        """Return whether a file was written since; what a distribution claims may be another's."""
        return _is_ours(path) and path.is_file() and path.stat().st_ctime >= self.since - CLOCK


def keep(name: str, brings: Iterable[Path], work: Path) -> Kept:
    """Note what is needed to put the environment back.

    Args:
        name: The plugin that will be installed.
        brings: Where its files will be, as far as that is known.
        work: A folder for copies.
    """
    work.mkdir()
    copies: dict[Path, Path] = {}
    if (old := installed_named(name)) is not None:
        for path in files_of(old):
            if _is_ours(path) and path.is_file():
                copies[path] = work / str(len(copies))
                shutil.copy2(path, copies[path])
    return Kept(
        versions=versions(),
        tops={folder: frozenset(_listed(folder)) for folder in _folders()},
        absent=tuple(path for path in brings if not path.exists()),
        copies=copies,
        since=time.time(),
    )


def _folders() -> set[Path]:
    names = ("purelib", "platlib", "scripts")
    return {Path(sysconfig.get_path(name)) for name in names}


def _listed(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _is_ours(path: Path) -> bool:
    """Return whether a file is in this environment, not in one that it is layered on."""
    return path.is_relative_to(Path(sys.prefix))


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # what stays is found by comparing versions
                path.unlink(missing_ok=True)
