"""``hub plugins install``: a listed plugin, a wheel or a folder, for the running Python."""

from __future__ import annotations

import click

from hub_core.cli.plugins.asking import asker, install_flags, say


@click.command()
@click.argument("plugin", metavar="NAME|PATH|WHEEL")
@install_flags
def install(
    plugin: str, registries: tuple[str, ...], accept: bool, dry_run: bool, yes: bool
) -> None:
    """Install a plugin for this Python.

    A name is one that a registry lists; './NAME' is a folder. What no registry lists is asked
    about, unless --yes is given. Nothing that is installed is replaced but the plugin itself, and
    after a failure everything is as it was.
    """
    from hub_core.cli.registries import opened
    from hub_core.install import install as installed

    registry = opened(registries, yes=yes, accept=accept)
    done = installed(plugin, registry, ask=asker(yes=yes), say=say, dry_run=dry_run)
    click.echo(done)
