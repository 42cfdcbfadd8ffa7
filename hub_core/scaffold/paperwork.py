"""What can be said of a plugin's folder without running it: metadata, files, names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress

from packaging.requirements import InvalidRequirement, Requirement

from hub_core import __version__, readers
from hub_core.card import pictures
from hub_core.catalog import COMMANDS, GROUP
from hub_core.scaffold.findings import Finding, judged
from hub_core.scaffold.project import Project

GROUPS = (GROUP, COMMANDS, readers.GROUP, pictures.GROUP)
"""Entry-point groups that the core looks into."""


def paperwork(project: Project) -> Iterator[Finding]:
    """Yield what holds of a distribution's metadata and files."""
    group = "distribution"
    yield judged(group, "it has an entry point that the core looks for", _entry(project))
    yield judged(group, "every entry point names a module that is there", _modules(project))
    yield judged(group, "it says which versions of hub-core it is for", _range(project))
    yield judged(group, "it has a readme", _readme(project))
    missing = "" if project.license else "pyproject.toml: project.license is missing"
    yield judged(group, "it says its licence", missing)
    yield judged(group, "its types can be used (py.typed)", _typed(project))


def _entry(project: Project) -> str:
    if any(project.entry_points.get(group) for group in GROUPS):
        return ""
    found = sorted(project.entry_points)
    others = f"; it has {', '.join(found)}" if found else ""
    return f"pyproject.toml: there is no [project.entry-points.hub_core]{others}"


def _modules(project: Project) -> str:
    for points in project.entry_points.values():
        for name, place in points.items():
            module = place.partition(":")[0].strip()
            path = project.source.joinpath(*module.split("."))
            if not (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()):
                return f"{name} = {place}: there is no {path.with_suffix('.py').name} in " \
                       f"{path.parent}"  # fmt: skip
    return ""


def _range(project: Project) -> str:
    for text in project.dependencies:
        with suppress(InvalidRequirement):
            wanted = Requirement(text)
            if re.sub(r"[-_.]+", "-", wanted.name).lower() != "hub-core":
                continue
            if not wanted.specifier.contains(__version__, prereleases=True):
                return f"{text} does not admit {__version__}, which is installed here"
            if not any(clause.operator in {"<", "<=", "==", "~="} for clause in wanted.specifier):
                return f"{text} has no upper bound, so a core that breaks it would be taken"
            return ""
    return "pyproject.toml: project.dependencies does not name hub-core"


def _readme(project: Project) -> str:
    if not project.readme:
        return "pyproject.toml: project.readme is missing"
    return "" if (project.folder / project.readme).is_file() else f"there is no {project.readme}"


def _typed(project: Project) -> str:
    folders = [project.source / name for name in project.packages]
    missing = [f.name for f in folders if f.is_dir() and not (f / "py.typed").is_file()]
    return f"there is no {missing[0]}/py.typed" if missing else ""


def suites(project: Project) -> set[str]:
    """Return the methods that the plugin's tests name as ``method = "…"`` in a class."""
    found = set()
    for path in sorted((project.folder / "tests").rglob("*.py")):
        with suppress(SyntaxError, UnicodeDecodeError):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found |= set(_method_of(node))
    return found


def _method_of(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "method":
            with suppress(ValueError):
                yield str(ast.literal_eval(line.value)).rpartition(":")[2]
