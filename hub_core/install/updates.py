"""Bring plugins to the version that a registry lists."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import metadata

from hub_core.errors import InstallError
from hub_core.install.checks import installed_named
from hub_core.install.removal import distribution_of, plugins
from hub_core.install.steps import Ask, install
from hub_core.install.tools import Say
from hub_core.registry import Registry


def update(name: str, registry: Registry, *, ask: Ask, say: Say, dry_run: bool = False) -> str:
    """Update a plugin, if a registry lists a newer version.

    Args:
        name: The plugin's name, or that of its distribution.
        registry: What is listed.
        ask: Gets a question about what is not just what is listed.
        say: Is told each command before it is run.
        dry_run: Do all but change the environment.

    Returns:
        A sentence that says what was done, or why nothing was.

    Raises:
        InstallError: It is not installed, no registry lists it, or it cannot be installed.
    """
    from packaging.version import Version

    label = distribution_of(name)
    here, entry = installed_named(label), registry.plugins.get(label)
    if entry is None or here is None:
        raise InstallError(
            f"no registry lists {label}",
            hint="install the newer version from where you have it from: its wheel or its folder",
        )
    if Version(entry.version) <= Version(here.version):
        return f"{label} {here.version} is the newest that is listed"
    if folder := editable(here):
        return f"{label} {here.version} is used from {folder}: update that folder"
    return install(label, registry, ask=ask, say=say, dry_run=dry_run)


def updatable(registry: Registry) -> list[str]:
    """Return the installed plugins that a registry lists."""
    return sorted({label for label in plugins().values() if label in registry.plugins})


def editable(found: metadata.Distribution) -> str:
    """Return the folder that a distribution is used from, or an empty text."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        if origin["dir_info"].get("editable"):
            return str(origin["url"])
    return ""
