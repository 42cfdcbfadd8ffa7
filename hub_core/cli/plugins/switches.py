"""``hub plugins disable`` and ``enable``: kept for this user; ``HUB_PLUGINS`` goes before it."""

from __future__ import annotations

import os

import click


@click.command()
@click.argument("plugin", metavar="NAME")
def disable(plugin: str) -> None:
    """Switch a plugin off, for this user."""
    from hub_core import disabled
    from hub_core.catalog import installed
    from hub_core.errors import PluginError, near

    names = [found.name for found in installed().plugins()]
    if plugin not in names:
        raise PluginError(
            f"no plugin named '{plugin}' is installed",
            hint=near(plugin, names) or "'hub plugins list' lists the installed ones",
        )
    disabled.disable(plugin)
    click.echo(f"{plugin} is disabled; 'hub plugins enable {plugin}' uses it again")
    _warn()


@click.command()
@click.argument("plugin", metavar="NAME")
def enable(plugin: str) -> None:
    """Switch a plugin on again."""
    from hub_core import disabled
    from hub_core.errors import PluginError

    if plugin not in disabled.names():
        off = ", ".join(sorted(disabled.names())) or "none"
        raise PluginError(f"{plugin} is not switched off", hint=f"switched off are: {off}")
    disabled.enable(plugin)
    click.echo(f"{plugin} is enabled")
    _warn()


def _warn() -> None:
    if "HUB_PLUGINS" in os.environ:
        click.echo("HUB_PLUGINS is set and goes before it.", err=True)
