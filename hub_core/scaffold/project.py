"""Read what a plugin's ``pyproject.toml`` says, without its build back end."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub_core.catalog import GROUP
from hub_core.errors import PluginError, listed

NEW = "'hub plugins new NAME --kind KIND' writes a plugin to start from"

VERSION = r"[0-9][A-Za-z0-9.!+_-]*"


class _Table(BaseModel):
    """The keys of ``[project]`` that are read; others are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    version: str = Field("", pattern=rf"^({VERSION})?$")
    description: str = ""
    readme: str | dict[str, Any] = ""
    license: str | dict[str, Any] = ""
    requires_python: str = Field("", alias="requires-python")
    dependencies: tuple[str, ...] = ()
    entry_points: dict[str, dict[str, str]] = Field({}, alias="entry-points")
    urls: dict[str, str] = Field(default_factory=dict)


class _Build(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    backend: str = Field("setuptools.build_meta:__legacy__", alias="build-backend")
    backend_path: tuple[str, ...] = Field((), alias="backend-path")


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    project: _Table
    build: _Build = Field(default_factory=lambda: _Build.model_validate({}), alias="build-system")


@dataclass(frozen=True, slots=True)
class Project:
    """A distribution's folder.

    Args:
        folder: Where its ``pyproject.toml`` is.
        source: The folder that Python must look into: that one, or its ``src``.
        name: The distribution's name.
        version: Its version, or ``0`` where only the build back end knows it.
        description: What it is, in a line, or empty.
        dependencies: What it requires.
        readme: Its readme's file, or empty.
        license: What it says about its licence, or empty.
        backend: Its build back end.
        backend_path: Folders in it in which its own build back end is.
        entry_points: Group to name to place.
        urls: Label to address, as ``[project.urls]`` has them.
    """

    folder: Path
    source: Path
    name: str
    version: str
    description: str
    dependencies: tuple[str, ...]
    readme: str
    license: str
    backend: str
    backend_path: tuple[str, ...]
    entry_points: Mapping[str, Mapping[str, str]]
    urls: Mapping[str, str]

    @property
    def places(self) -> Mapping[str, str]:
        """Its plugins: the entry points of the group ``hub_core``."""
        return self.entry_points.get(GROUP, {})

    @property
    def packages(self) -> tuple[str, ...]:
        """The top-level packages that entry points name."""
        places = [place for group in self.entry_points.values() for place in group.values()]
        return tuple(sorted({re.split(r"[.:\s]", place)[0] for place in places}))


def read(folder: Path) -> Project:
    """Read the ``pyproject.toml`` of a folder.

    Raises:
        PluginError: There is none, or it does not describe a distribution.
    """
    path = folder / "pyproject.toml"
    if not path.is_file():
        raise PluginError(f"{folder} is not the folder of a plugin: it has no pyproject.toml",
                          hint=NEW)  # fmt: skip
    file = _parsed(path)
    table = file.project
    source = folder / "src" if (folder / "src").is_dir() else folder
    places = {group: dict(points) for group, points in table.entry_points.items()}
    project = Project(
        folder=folder,
        source=source,
        name=table.name,
        version=table.version,
        description=table.description,
        dependencies=table.dependencies,
        readme=_stated(table.readme, "file"),
        license=_stated(table.license, "text") or _stated(table.license, "file"),
        backend=file.build.backend,
        backend_path=file.build.backend_path,
        entry_points=places,
        urls=table.urls,
    )
    return _completed(project)


def _parsed(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PluginError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg'][0].lower()}{item['msg'][1:]}"
            for item in error.errors()
        ]
        raise PluginError(f"{path} does not describe a plugin:{listed(problems)}",
                          hint=NEW) from None  # fmt: skip


def _stated(value: str | dict[str, Any], key: str) -> str:
    return value if isinstance(value, str) else str(value.get(key, ""))


def _completed(project: Project) -> Project:
    """Return a project with the version and the description that its package states."""
    version, description = project.version, project.description
    for package in project.packages:
        with suppress(OSError, SyntaxError, ValueError):
            tree = ast.parse((project.source / package / "__init__.py").read_text("utf-8"))
            said = (ast.get_docstring(tree) or "").partition("\n")[0]
            description = description or said.rstrip(".")
            stated = _assigned(tree, "__version__")
            version = version or (stated if re.fullmatch(VERSION, stated) else "")
    return replace(project, version=version or "0", description=description)


def _assigned(tree: ast.Module, name: str) -> str:
    """Return the literal that a module assigns to a name, or an empty text."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return str(ast.literal_eval(node.value))
    return ""
