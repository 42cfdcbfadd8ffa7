"""Build a plugin's wheel out of a copy of its folder, and look into wheels."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from importlib.util import find_spec
from pathlib import Path

from hub_core.errors import PluginError
from hub_core.identity import sha256_of
from hub_core.scaffold.findings import Finding, judged
from hub_core.scaffold.project import Project
from hub_core.scaffold.visible import environment, last_lines

BUILD = """
import importlib, sys
sys.path[:0] = sys.argv[3:]
module, _, name = sys.argv[1].partition(":")
backend = importlib.import_module(module)
for part in filter(None, name.split(".")):
    backend = getattr(backend, part)
backend.build_wheel(sys.argv[2])
"""
LEFT_OUT = (".*", "__pycache__", "build", "dist", "*.egg-info", "venv")


@dataclass(frozen=True, slots=True)
class Wheel:
    """What a wheel says of itself.

    Args:
        path: The file.
        names: The files in it.
        metadata: Its ``METADATA``, key to values.
        entry_points: Its ``entry_points.txt``, or empty.
    """

    path: Path
    names: tuple[str, ...]
    metadata: dict[str, tuple[str, ...]]
    entry_points: str

    @property
    def sha256(self) -> str:
        """Return the file's sha256."""
        return sha256_of(self.path)

    def first(self, key: str) -> str:
        """Return the first value of a key of its metadata, or an empty text."""
        return next(iter(self.metadata.get(key, ())), "")


def look_into(path: Path) -> Wheel:
    """Return what a wheel says of itself.

    Raises:
        PluginError: The file is no wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            info = next(n for n in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
            message = message_from_string(archive.read(info).decode("utf-8"))
            points = info.replace("METADATA", "entry_points.txt")
            text = archive.read(points).decode("utf-8") if points in names else ""
    except (OSError, zipfile.BadZipFile, StopIteration, UnicodeDecodeError, NotImplementedError):
        raise PluginError(
            f"{path} is no wheel", hint="'python -m pip wheel --no-deps FOLDER' builds one"
        ) from None
    keys = dict.fromkeys(message.keys())
    metadata = {key: tuple(map(str, message.get_all(key, ()))) for key in keys}
    return Wheel(path, tuple(names), metadata, text)


def wheel_findings(project: Project) -> Iterator[Finding]:
    """Build the wheel of a copy of the folder, and yield what holds of it."""
    backend = re.split("[.:]", project.backend)[0]
    if not project.backend_path and find_spec(backend) is None:
        reason = f"its build back end, {backend}, is not installed here"
        yield Finding("wheel", "it can be built", "not checked", reason)
        return
    with tempfile.TemporaryDirectory(prefix="hub-wheel-") as place:
        said = _build(project, Path(place))
        yield judged("wheel", "it can be built", said)
        for path in Path(place).glob("*.whl"):
            yield from _contents(project, look_into(path))


def _build(project: Project, place: Path) -> str:
    """Build into a folder; return what went wrong."""
    copy = place / "source"
    shutil.copytree(project.folder, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    done = subprocess.run(
        [sys.executable, "-c", BUILD, project.backend, str(place), *project.backend_path],
        cwd=copy, env=environment([]), capture_output=True, text=True, encoding="utf-8",
        errors="replace", check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    return last_lines(done.stderr or done.stdout).strip().splitlines()[-1].strip()


def _contents(project: Project, wheel: Wheel) -> Iterator[Finding]:
    names = set(wheel.names)
    wanted = []
    for name in project.packages:
        folder = project.source / name
        files = folder.rglob("*.py") if folder.is_dir() else [project.source / f"{name}.py"]
        wanted += [path.relative_to(project.source).as_posix() for path in files]
        if (folder / "py.typed").is_file():
            wanted.append(f"{name}/py.typed")
    missing = sorted(set(wanted) - names)
    reason = f"it lacks {', '.join(missing[:3])}" if missing else ""
    reason += " and more" if len(missing) > 3 else ""
    yield judged("wheel", "it holds the whole package", reason)
    lost = [
        f"{name} = {place}"
        for points in project.entry_points.values()
        for name, place in points.items()
        if name not in wheel.entry_points or place not in wheel.entry_points
    ]
    yield judged("wheel", "it holds the entry points", f"it lacks {lost[0]}" if lost else "")
