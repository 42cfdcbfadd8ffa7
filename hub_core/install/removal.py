"""Remove a plugin; nothing of it is imported, so that a broken one can go."""

from __future__ import annotations

import importlib

from hub_core.catalog import installed, normalized
from hub_core.errors import InstallError, near
from hub_core.install.checks import installed_named, is_plugin
from hub_core.install.tools import Say, run, tool
from hub_core.wording import shown


def uninstall(name: str, *, say: Say) -> str:
    """Remove the distribution of a plugin.

    Args:
        name: The plugin's name, or that of its distribution.
        say: Is told the command before it is run.

    Returns:
        A sentence that says what was done.

    Raises:
        InstallError: There is no such plugin, or it could not be removed.
    """
    distribution = distribution_of(name)
    before = installed_named(distribution)
    version = before.version if before is not None else ""
    installer = tool()
    code = run(installer.uninstall(distribution), say)
    importlib.invalidate_caches()
    if code or installed_named(distribution) is not None:
        where = before.locate_file("") if before is not None else ""
        raise InstallError(
            f"{distribution} is still there, in {where}",
            hint=f"what {installer.name} said stands above; "
            f"'hub plugins disable {distribution}' switches it off",
        )
    return f"removed {distribution} {version}"


def distribution_of(name: str) -> str:
    """Return the installed distribution that a plugin's name, or its own, means.

    Raises:
        InstallError: There is none.
    """
    found = plugins()
    if name in found:
        return found[name]
    distributions = set(found.values())
    if (label := normalized(name)) in distributions:
        return label
    here = installed_named(name)
    if here is not None and not is_plugin(here):
        raise InstallError(f"{shown(name)} is installed, but it is no plugin",
                           hint="'hub plugins list' lists the plugins")  # fmt: skip
    raise InstallError(
        f"no plugin named {shown(name)} is installed",
        hint=near(name, {*found, *distributions}) or "'hub plugins list' lists the plugins",
    )


def plugins() -> dict[str, str]:
    """Return the name of every installed plugin, and the distribution that brings it."""
    return {plugin.name: plugin.distribution for plugin in installed().plugins()}
