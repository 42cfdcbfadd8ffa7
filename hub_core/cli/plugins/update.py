"""``hub plugins update``: the version that a registry lists, of one plugin or of all."""

from __future__ import annotations

import click

from hub_core.cli.plugins.asking import asker, install_flags, say


@click.command()
@click.argument("plugin", metavar="[NAME]", default="")
@install_flags
def update(
    plugin: str, registries: tuple[str, ...], accept: bool, dry_run: bool, yes: bool
) -> None:
    """Bring plugins to the version that is listed.

    Without a name: all that a registry lists.
    """
    from hub_core.cli.registries import opened
    from hub_core.install.updates import updatable
    from hub_core.install.updates import update as updated

    registry = opened(registries, yes=yes, accept=accept)
    names = [plugin] if plugin else updatable(registry)
    for name in names:
        click.echo(updated(name, registry, ask=asker(yes=yes), say=say, dry_run=dry_run))
    if not names:
        click.echo("No registry lists a plugin that is installed.", err=True)
