"""What a wheel, an unpacked wheel or a source folder holds; nothing of it is run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from hub_core.catalog import extends, normalized
from hub_core.errors import InstallError


@dataclass(frozen=True, slots=True)
class Content:
    """A distribution that is not installed yet.

    Args:
        place: What messages call it: its file or folder, or its name.
        name: The distribution's name, normalized.
        version: Its version; ``0`` for a folder of which only the build back end knows it.
        requires: Its requirements, as written.
        points: Entry-point group to name to place.
        files: Its files as a wheel names them; none for a folder.
    """

    place: str
    name: str
    version: str
    requires: tuple[str, ...]
    points: Mapping[str, Mapping[str, str]]
    files: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return name and version."""
        return self.name if self.version == "0" else f"{self.name} {self.version}"

    @property
    def is_plugin(self) -> bool:
        """Return whether it adds something to hub-core."""
        return any(map(extends, self.points))


def of_wheel(path: Path) -> Content:
    """Return what is in a wheel.

    Raises:
        InstallError: The file is no wheel, is damaged, or is not what its name says.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, *_ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            files = archive.namelist()
            if damaged := archive.testzip():
                raise InstallError(f"{path} is damaged at {damaged}", hint="fetch it again")
            [info] = {n.split("/")[0] for n in files if re.fullmatch(r"[^/]+\.dist-info/.+", n)}
            found = _of(
                str(path), metadata.PathDistribution(zipfile.Path(archive, f"{info}/")), files
            )
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, InvalidWheelFilename):
        raise InstallError(
            f"{path} is no wheel", hint="'python -m pip wheel --no-deps FOLDER' builds one"
        ) from None
    if (found.name, found.version) != (name, str(version)):
        raise InstallError(
            f"{path} holds {found.label}, which is not what its name says",
            hint="do not install it; fetch it from where its authors publish it",
        )
    return found


def of_unpacked(folder: Path, place: str) -> Content:
    """Return what is in the one wheel that was unpacked into a folder."""
    [info] = folder.glob("*.dist-info")
    files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    return _of(place, metadata.PathDistribution(info), [f for f in files if "__pycache__" not in f])


def of_folder(folder: Path) -> Content:
    """Return what the ``pyproject.toml`` of a folder says.

    Raises:
        PluginError: There is none, or it describes no distribution.
    """
    from hub_core.scaffold.project import read

    project = read(folder)
    return Content(
        str(folder), normalized(project.name), project.version, project.dependencies,
        project.entry_points,
    )  # fmt: skip


def _of(place: str, found: metadata.Distribution, files: Iterable[str]) -> Content:
    points: dict[str, dict[str, str]] = {}
    for point in found.entry_points:
        points.setdefault(point.group, {})[point.name] = point.value
    name, version = found.metadata["Name"], found.metadata["Version"]
    if not name or not version:
        raise ValueError("no METADATA")
    return Content(place, normalized(name), version, tuple(found.requires or ()), points,
                   tuple(files))  # fmt: skip
