"""Make a plugin visible to processes of their own, without installing it.

A folder with the metadata that an installation would write goes on their path, before the sources.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hub_core.errors import PluginError
from hub_core.scaffold.project import Project

LINES = 12
"""Lines of what a process said that a message shows."""


@contextmanager
def visible(project: Project) -> Iterator[dict[str, str]]:
    """Give the environment of processes that find a distribution's plugins in its folder."""
    with tempfile.TemporaryDirectory(prefix="hub-plugin-") as place:
        label = re.sub(r"[-_.]+", "_", project.name).lower()
        info = Path(place) / f"{label}-{project.version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(_metadata(project), encoding="utf-8")
        (info / "entry_points.txt").write_text(_points(project), encoding="utf-8")
        yield environment([Path(place), project.source.resolve()])


@contextmanager
def unpacked(wheel: Path) -> Iterator[dict[str, str]]:
    """Give the environment of processes that find the plugins of a wheel.

    Raises:
        PluginError: The file is no wheel.
    """
    with tempfile.TemporaryDirectory(prefix="hub-plugin-") as place:
        try:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(place)
        except (OSError, zipfile.BadZipFile) as error:
            raise PluginError(f"{wheel} cannot be read as a wheel: {error}") from None
        yield environment([Path(place)])


def environment(folders: Sequence[Path]) -> dict[str, str]:
    """Return this process's environment with folders first on Python's path, no plugin disabled."""
    found = {name: value for name, value in os.environ.items() if name != "HUB_PLUGINS"}
    path = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
    return found | {"PYTHONPATH": os.pathsep.join(path), "PYTHONIOENCODING": "utf-8",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "HUB_CORE_CONFIG": str(Path(__file__).parent / "no-settings")}  # fmt: skip


def _metadata(project: Project) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {project.name}", f"Version: {project.version}"]
    lines += [f"Requires-Dist: {text}" for text in project.dependencies]
    return "\n".join(lines) + "\n"


def _points(project: Project) -> str:
    lines: list[str] = []
    for group, points in project.entry_points.items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in points.items()), ""]
    return "\n".join(lines)


def told(code: str, arguments: Sequence[str], env: Mapping[str, str], doing: str) -> Any:
    """Run code in a process of its own and return the JSON that it prints last.

    Args:
        code: What is run; it prints JSON on its last line.
        arguments: Its ``sys.argv[1:]``.
        env: The process's environment.
        doing: What a message says was attempted.

    Raises:
        PluginError: It fails; the message has the last lines of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=dict(env), capture_output=True, text=True, encoding="utf-8", errors="replace",
        check=False,
    )  # fmt: skip
    if done.returncode == 0 and done.stdout.strip():
        with suppress(ValueError):
            return json.loads(done.stdout.strip().splitlines()[-1])
    raise PluginError(f"{doing} failed:\n{last_lines(done.stderr or done.stdout)}")


def last_lines(text: str) -> str:
    """Return the last lines of what a process said, indented."""
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-LINES:])
