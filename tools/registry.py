"""Write registry.json, its copy in the package and its JSON Schema, or check them.

A plugin is described and measured again when its Python files, its pyproject.toml or the version
of hub-core changed. ``--check`` compares hashes and imports no plugin; ``--all`` measures again.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from hub_core import __version__
from hub_core.errors import HubError
from hub_core.registry import Registry
from hub_core.registry.entries import json_schema
from hub_core.scaffold import describe
from hub_core.scaffold.entry import MEASURED_WITH, code_hash

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "registry.json"
COPY = ROOT / "hub_core" / "registry" / "registry.json"
SCHEMA = ROOT / "registry.schema.json"
SUITES = Path("tests", "test_conformance.py")
UNSTEADY = {"method", "kind", "seconds", "import_seconds"}
REAL = ("hub-transformers", ("bert",))
"""Besides the toys: the plugin of a backbone, and cases of its conformance test."""


def folders() -> list[Path]:
    """Return the plugins' folders."""
    return sorted(p.parent for p in (ROOT / "plugins").glob("hub-*/pyproject.toml"))


def measured_hash(folder: Path) -> str:
    """Return one sha256 of all that facts depend on: the code, and the conformance test."""
    return code_hash(folder, [path for path in [folder / SUITES] if path.is_file()])


def described(folder: Path, decided: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plugin's entry without its methods; nothing of the plugin is imported."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    summary, version = _summary_and_version(folder / folder.name.replace("-", "_"))
    found = {
        "version": version,
        "core": _core_range(project.get("dependencies", ())),
        "source": {
            "kind": "repository",
            "url": _repository(),
            "subdirectory": f"plugins/{folder.name}",
        },
        "code": code_hash(folder),
        "licence": project.get("license", ""),
        "summary": summary,
        "commands": sorted(project.get("entry-points", {}).get("hub_core.commands", {})),
    }
    return found | decided.get("all", {}) | decided.get(project["name"], {})


def _summary_and_version(package: Path) -> tuple[str, str]:
    tree = ast.parse((package / "__init__.py").read_text("utf-8"))
    [version] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    return (ast.get_docstring(tree) or "").splitlines()[0].rstrip("."), version


def _core_range(dependencies: Any) -> str:
    found = [re.fullmatch(r"hub[-_.]core\s*(.*)", text) for text in dependencies]
    return next(match[1] for match in found if match)


def _repository() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    urls = project.get("urls", {})
    return urls.get("Repository") or urls.get("Homepage") or ""


# -- what only the plugin itself can say


def methods_of(distribution: str, source: str) -> Iterator[dict[str, Any]]:
    """Yield a plugin's methods with their options, tags and facts."""
    from hub_core.catalog import installed

    for provided in installed().methods():
        if provided.plugin.distribution == distribution:
            yield describe.described(provided) | {"facts": facts_of(provided, source)}


def facts_of(provided: Any, source: str) -> dict[str, Any]:
    """Return what the conformance suite finds, with the cases of the plugin's own test."""
    from hub_core.testing import facts

    own = [s for s in suites_of(provided.plugin.distribution) if s.method == provided.full_name]
    print(f"  {provided.full_name}", flush=True)
    backbones = None if provided.kind == "backbone" else real_backbones()
    found = facts(own[0] if own else provided, backbones=backbones)
    versions = {name: metadata.version(name) for name in MEASURED_WITH}
    return {
        "source": source,
        "versions": {"core": __version__} | versions,
        "measured": {key: value for key, value in found.items() if key not in UNSTEADY},
    }


def suites_of(distribution: str) -> list[Any]:
    """Return the classes of a plugin's conformance test."""
    from hub_core.testing.measuring import suites_in

    path = ROOT / "plugins" / distribution / SUITES
    return suites_in(path) if path.is_file() else []


def real_backbones() -> dict[str, Any]:
    """Return label to a function of a scratch folder that makes a tiny backbone there."""
    plugin, labels = REAL
    [suite] = suites_of(plugin)

    def maker(label: str) -> Any:
        def make(folder: Path) -> dict[str, Any]:
            own = folder / label  # each case writes files of the same names
            own.mkdir()
            return {"name": suite.method, **suite.cases[label](own)}

        return make

    return {label: maker(label) for label in labels}


# -- files


def entry(folder: Path, decided: Mapping[str, Any], before: Registry, *, fresh: bool) -> Any:
    """Return a plugin's entry, its methods taken from before where nothing changed."""
    found = described(folder, decided)
    known = before.plugins.get(folder.name)
    source = measured_hash(folder)
    if known is not None and not fresh and not stale(folder.name, source, before):
        old = known.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return found | {"methods": old.get("methods", [])}
    print(f"{folder.name}: described and measured", flush=True)
    return found | {"methods": list(methods_of(folder.name, source))}


def stale(name: str, source: str, registry: Registry) -> str:
    """Return why a plugin's methods must be measured again; empty where they need not.

    Args:
        name: The plugin's distribution.
        source: Its ``measured_hash``.
        registry: What is written of it.
    """
    known = registry.plugins.get(name)
    if known is None:
        return "it is missing"
    for method in known.methods:
        if method.facts is None:
            return f"{method.name} has no facts"
        if method.facts.source != source:
            return "its files changed"
        if method.facts.versions.get("core") != __version__:
            return f"the facts of {method.name} are of another hub-core"
    return ""


def text_of(registry: Any) -> str:
    """Return JSON as it is kept, so that a difference is a difference of content."""
    return json.dumps(registry, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def problems(decided: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is out of date."""
    try:
        registry = _before(FILE)
    except HubError as error:
        yield error.message
        return
    here = {folder.name for folder in folders()}
    yield from (f"{name} is no plugin of this repository" for name in {*registry.plugins} - here)
    for folder in folders():
        wanted = described(folder, decided)
        if why := stale(folder.name, measured_hash(folder), registry):
            yield f"{folder.name}: {why}"
            continue
        known = registry.plugins[folder.name].model_dump(mode="json", exclude_unset=True)
        different = {k for k in {*wanted, *known} - {"methods"} if wanted.get(k) != known.get(k)}
        yield from (f"{folder.name}: {key} is out of date" for key in sorted(different))
    if not COPY.is_file() or COPY.read_bytes() != FILE.read_bytes():
        yield f"{COPY.relative_to(ROOT).as_posix()} is not a copy of it"
    if not SCHEMA.is_file() or SCHEMA.read_text("utf-8") != text_of(json_schema()):
        yield f"{SCHEMA.name} is out of date"


def _before(path: Path) -> Registry:
    from hub_core.registry import read

    return read(path) if path.is_file() else Registry()


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Write the files, or with ``--check`` exit with 1 if one is out of date."""
    decided = tomllib.loads((ROOT / "tools" / "registry.toml").read_text("utf-8"))
    if "--check" in sys.argv[1:]:
        found = list(problems(decided))
        for problem in found:
            print(f"{FILE.name}: {problem}, run 'make registry'")
        sys.exit(bool(found))
    before = _before(FILE)
    fresh = "--all" in sys.argv[1:]
    plugins = {f.name: entry(f, decided, before, fresh=fresh) for f in folders()}
    found = Registry.model_validate({"format": 1, "plugins": plugins})  # drops what has no meaning
    text = text_of(found.model_dump(mode="json", by_alias=True, exclude_unset=True))
    _write(FILE, text)
    _write(COPY, text)
    _write(SCHEMA, text_of(json_schema()))


if __name__ == "__main__":
    main()
