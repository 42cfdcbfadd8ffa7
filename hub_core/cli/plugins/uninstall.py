"""``hub plugins uninstall``: works with every plugin broken, since none is imported."""

from __future__ import annotations

import click

from hub_core.cli.plugins.asking import say


@click.command()
@click.argument("plugin", metavar="NAME")
def uninstall(plugin: str) -> None:
    """Remove a plugin, also a broken one."""
    from hub_core.install.removal import uninstall as removed

    click.echo(removed(plugin, say=say))
