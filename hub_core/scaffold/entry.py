"""A distribution's entry for a registry, from its folder or its wheel."""

from __future__ import annotations

import configparser
import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from hub_core import __version__
from hub_core.catalog import COMMANDS, GROUP, normalized
from hub_core.errors import PluginError
from hub_core.registry.entries import FORMAT
from hub_core.registry.reading import parse
from hub_core.scaffold.project import Project, read
from hub_core.scaffold.visible import told, unpacked, visible
from hub_core.scaffold.wheels import LEFT_OUT, Wheel, look_into

MEASURED_WITH = ("torch", "transformers", "peft")
DESCRIBE = """
import json, sys
from hub_core.scaffold.describe import methods_of
print(json.dumps(methods_of(sys.argv[1:])))
"""
MEASURE = """
import json, sys
from hub_core.catalog import installed
from hub_core.testing import facts
kind, name = sys.argv[1:]
print(json.dumps(facts(installed().find(kind, name))))
"""


def entry_of(
    place: Path, *, url: str = "", subdirectory: str = "", measure: bool = True
) -> dict[str, dict[str, Any]]:
    """Return a distribution's entry under its name, as a registry's ``plugins`` holds it.

    Args:
        place: Its folder or its wheel.
        url: The wheel's address, or that of its repository.
        subdirectory: Its folder in that repository.
        measure: Whether the conformance suite runs, with each method's default options.

    Raises:
        PluginError: It holds no plugin, or where it can be fetched is not known.
        RegistryError: What it says of itself does not fit a registry.
    """
    if place.is_dir():
        project = read(place)
        found = _of_folder(project)
        with visible(project) as env:
            found["methods"] = _methods(project.places, found["code"], env, measure)
        name, address = project.name, url or _first_url(project.urls)
    else:
        wheel = look_into(place)
        found = _of_wheel(wheel)
        with unpacked(place) as env:
            points = _points(wheel).get(GROUP, {})
            found["methods"] = _methods(points, wheel.sha256, env, measure)
        name, address = wheel.first("Name"), url or _first_url(_urls(wheel))
    if not address:
        raise PluginError(
            f"where others can fetch {name} is not known",
            hint="give --url, or [project.urls] Repository in pyproject.toml",
        )
    wheel_there = address.endswith(".whl")
    found["source"] = {"kind": "url" if wheel_there else "repository", "url": address}
    if subdirectory:
        found["source"]["subdirectory"] = subdirectory
    return _validated({normalized(name): found}, str(place))


def _validated(plugins: Mapping[str, Any], place: str) -> dict[str, dict[str, Any]]:
    """Return entries with what a registry keeps of them."""
    registry = parse(json.dumps({"format": FORMAT, "plugins": plugins}).encode(), place)
    found: dict[str, dict[str, Any]] = registry.model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )["plugins"]
    return found


def _of_folder(project: Project) -> dict[str, Any]:
    return {
        "version": project.version,
        "core": _core_range(project.dependencies),
        "code": code_hash(project.folder),
        "licence": project.license,
        "summary": project.description,
        "commands": sorted(project.entry_points.get(COMMANDS, {})),
    }


def _of_wheel(wheel: Wheel) -> dict[str, Any]:
    return {
        "version": wheel.first("Version"),
        "core": _core_range(wheel.metadata.get("Requires-Dist", ())),
        "sha256": wheel.sha256,
        "licence": wheel.first("License-Expression") or wheel.first("License"),
        "summary": wheel.first("Summary").rstrip("."),
        "commands": sorted(_points(wheel).get(COMMANDS, {})),
    }


def code_hash(folder: Path, also: Iterable[Path] = ()) -> str:
    """Return one sha256 for a plugin's Python files and its pyproject.toml, tests left out.

    Line ends do not count, because version control may have checked out either.

    Args:
        folder: The plugin's folder.
        also: Further files in it that count, such as the test that facts were measured with.
    """
    whole = hashlib.sha256()
    own = [path for path in folder.rglob("*.py") if _counts(path.relative_to(folder))]
    for path in sorted([*own, folder / "pyproject.toml", *also]):
        data = path.read_bytes().replace(b"\r\n", b"\n")
        name = path.relative_to(folder).as_posix()
        whole.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    return whole.hexdigest()


def _counts(path: Path) -> bool:
    return path.parts[0] not in {"tests", *LEFT_OUT} and not path.parts[0].startswith(".")


def _core_range(dependencies: Iterable[str]) -> str:
    """Return the range of hub-core as it is written, or in its own order if that is not found."""
    for text in dependencies:
        wanted = Requirement(text)
        if normalized(wanted.name) == "hub-core":
            clauses = sorted(map(str, wanted.specifier), key=lambda c: (c[0] != ">", c))
            return ",".join(clauses)
    return ""


def _points(wheel: Wheel) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(delimiters="=", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(wheel.entry_points)
    return {group: dict(parser[group]) for group in parser.sections()}


def _urls(wheel: Wheel) -> dict[str, str]:
    pairs = [text.partition(",") for text in wheel.metadata.get("Project-URL", ())]
    return {label.strip(): address.strip() for label, _, address in pairs}


def _first_url(urls: Mapping[str, str]) -> str:
    lower = {label.lower(): address for label, address in urls.items()}
    return next((lower[k] for k in ("repository", "source", "homepage") if k in lower), "")


def _methods(
    plugins: Iterable[str], source: str, env: Mapping[str, str], measure: bool
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told(DESCRIBE, [*plugins], env, "describing its methods")
    for method in found:
        facts: dict[str, Any] = {"source": source, "versions": _versions()}
        if measure:
            key = [method["kind"], method["name"]]
            facts["measured"] = told(MEASURE, key, env, f"measuring {method['name']}")
        else:
            facts["reason"] = "not measured"
        method["facts"] = facts
    return found


def _versions() -> dict[str, str]:
    found = {"core": __version__}
    for name in MEASURED_WITH:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
