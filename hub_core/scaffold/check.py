"""All that is checked of a plugin, in order of cost: metadata, what it announces, wheel, tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from hub_core.scaffold.findings import Finding, judged
from hub_core.scaffold.paperwork import paperwork, suites
from hub_core.scaffold.project import Project, read
from hub_core.scaffold.suites import run_suites
from hub_core.scaffold.visible import told, visible
from hub_core.scaffold.wheels import wheel_findings

LISTING = """
import json, sys
from hub_core.catalog import installed
catalog = installed()
methods = [{"kind": p.kind, "name": p.method.name, "plugin": p.plugin.name}
           for p in catalog.methods()]
plugins = [{"name": p.name, "distribution": p.distribution, "status": p.status,
            "reason": p.reason} for p in catalog.plugins()]
print(json.dumps({"plugins": plugins, "methods": methods}))
"""


def checked(folder: Path, *, tests: bool = True) -> list[Finding]:
    """Check the plugin in a folder.

    Args:
        folder: Where its ``pyproject.toml`` is.
        tests: Whether its tests run too.

    Raises:
        PluginError: The folder holds no plugin, or its tests cannot run at all.
    """
    project = read(folder)
    found = list(paperwork(project))
    with visible(project) as env:
        if project.places:
            found += _announced(project, env)
        found += wheel_findings(project)
        if tests:
            found += run_suites(project, env)
    return found


def _announced(project: Project, env: Mapping[str, str]) -> Iterator[Finding]:
    listing = told(LISTING, [], env, "listing its methods")
    plugins = {plugin["name"]: plugin for plugin in listing["plugins"]}
    names: list[str] = []
    for name in project.places:
        plugin = plugins.get(name, {"status": "not found", "reason": ""})
        reason = "" if plugin["status"] == "ok" else f"it is {plugin['status']}: {plugin['reason']}"
        yield judged("distribution", f"plugin {name} can be used", reason)
        names += [m["name"] for m in listing["methods"] if m["plugin"] == name]
    reason = "" if names else "no hook yields a method"
    yield judged("distribution", "it announces a method", reason)
    untested = sorted(set(names) - suites(project))
    reason = f'no class of its tests has method = "{untested[0]}"' if untested else ""
    yield judged("distribution", "every method has a suite of hub_core.testing", reason)
