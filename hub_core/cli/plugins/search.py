"""``hub plugins search``: methods and commands that exist, installed or not."""

from __future__ import annotations

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json
from hub_core.cli.registries import opened, registry_flags


@click.command()
@click.argument("words", nargs=-1)
@registry_flags
@json_flag
def search(
    words: tuple[str, ...], registries: tuple[str, ...], yes: bool, accept: bool, as_json: bool
) -> None:
    """Search what exists, installed or not.

    Every one of WORDS must stand in the name, the summary, the plugin, the kind or the tags; none
    finds everything.
    """
    from hub_core.available import available, matching
    from hub_core.catalog import installed
    from hub_core.cli.listing import block

    registry = opened(registries, yes=yes, accept=accept)
    found = matching(available(installed(), registry), words)
    if as_json:
        echo_json([one.json() for one in found])
    elif found:
        click.echo("\n\n".join(map(block, found)))
    else:
        click.echo(f"Nothing that is installed or listed fits '{' '.join(words)}'.", err=True)
