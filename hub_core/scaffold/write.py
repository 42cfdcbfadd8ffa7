"""Write a new plugin from the templates beside this file: as a whole, or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hub_core import __version__
from hub_core.errors import PluginError
from hub_core.folders import new_folder
from hub_core.scaffold.names import Names

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX, PACKAGE = ".txt", "PACKAGE"
"""Templates are texts, so that nobody takes them for modules; PACKAGE in a path is replaced."""


def write(names: Names, folder: Path) -> Path:
    """Write a plugin's files into a new folder of its distribution's name.

    Args:
        names: Its names.
        folder: Where that folder is made.

    Returns:
        The plugin's folder.

    Raises:
        PluginError: There is something of that name already.
        ArtifactError: The folder cannot be written.
    """
    target = folder / names.distribution
    if os.path.lexists(target):
        raise PluginError(
            f"{target} is there already, and nothing is ever overwritten",
            hint="choose another name, or another folder with --dir",
        )
    with new_folder(target) as partial:
        for path, text in files(names).items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (partial / path).write_text(text, encoding="utf-8", newline="\n")
    return target


def files(names: Names) -> dict[str, str]:
    """Return the files of a new plugin, by their paths in it."""
    values = {
        "distribution": names.distribution,
        "kind": names.kind,
        "package": names.package,
        "method": names.method,
        "class": names.class_name,
        "range": _range(__version__),
        "development": (TEMPLATES / "development.md.txt").read_text("utf-8"),
    }
    found = {}
    for root in (TEMPLATES / "common", TEMPLATES / names.kind):
        for path in sorted(root.rglob(f"*{SUFFIX}")):
            name = path.relative_to(root).as_posix().removesuffix(SUFFIX)
            found[name.replace(PACKAGE, names.package)] = render(path.read_text("utf-8"), values)
    return found


def render(template: str, values: dict[str, str]) -> str:
    """Return a template with every ``{{name}}`` replaced.

    Raises:
        KeyError: The template has a name without a value.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _range(version: str) -> str:
    """Return the core versions that a plugin of today promises to work with."""
    major, minor, *_ = version.split(".")
    above = f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1)
    return f">={major}.{minor},<{above}"
