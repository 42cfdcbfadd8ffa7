"""Look at what plugins are installed into and run with; nothing large is imported."""

from __future__ import annotations

import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from hub_core import __version__, disabled
from hub_core.catalog import label_of
from hub_core.doctor.findings import Finding
from hub_core.errors import HubError
from hub_core.install.checks import writable
from hub_core.install.tools import shown, tool

LIBRARIES = ("torch", "transformers")


def of_surroundings() -> Iterator[Finding]:
    """Yield what is found about the environment."""
    yield _command()
    yield _clashing_commands()
    yield _installer()
    reason = writable()
    place = sysconfig.get_path("purelib")
    yield Finding("environment", "note" if reason else "ok", reason or place)
    if reason := disabled.problem():
        yield Finding("settings", "wrong", f"{reason}; {disabled.REPAIR}")
    yield Finding("python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield Finding("hub-core", "ok", __version__)
    yield from map(_library, LIBRARIES)


def _command() -> Finding:
    """Tell whether typing ``hub`` runs this hub-core."""
    found = shutil.which("hub")
    instead = "'hub-core' and 'python -m hub_core' run this one"
    if found is None:
        return Finding("hub", "note", f"there is no 'hub' on PATH; {instead}")
    if _runs_this(Path(found)):
        return Finding("hub", "ok", found)
    what = "that of another environment" if _starts_hub_core(Path(found)) else "another program"
    return Finding("hub", "wrong", f"'hub' runs {found}, which is {what}; {instead}")


def _runs_this(program: Path) -> bool:
    own = Path(sysconfig.get_path("scripts"))
    return program.parent.resolve() == own.resolve() and _starts_hub_core(program)


def _starts_hub_core(program: Path) -> bool:
    """Return whether it is a launcher of hub-core, which names what it imports."""
    with suppress(OSError), program.open("rb") as file:
        return b"hub_core" in file.read(2**20)
    return False


def _clashing_commands() -> Finding:
    """Tell commands that two distributions bring."""
    brought: dict[str, set[str]] = {}
    for point in metadata.entry_points(group="hub_core.commands"):
        name = label_of(point.dist) if point.dist else "an unknown distribution"
        brought.setdefault(point.name, set()).add(name)
    problems = [
        f"'{name}' is brought by {' and '.join(sorted(by))}: uninstall one of them"
        for name, by in sorted(brought.items())
        if len(by) > 1
    ]
    if problems:
        return Finding("commands", "wrong", "; ".join(problems))
    return Finding("commands", "ok", ", ".join(sorted(brought)) or "none from plugins")


def _installer() -> Finding:
    try:
        return Finding("installer", "ok", shown(tool().program))
    except HubError as error:
        return Finding("installer", "note", f"{error.message}; {error.hint}")


def _library(name: str) -> Finding:
    try:
        return Finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        state = "wrong" if name == "torch" else "note"
        return Finding(name, state, "is not installed")  # type: ignore[arg-type]
