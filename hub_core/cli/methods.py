"""``hub methods`` and ``hub plugins``: what is installed."""

from __future__ import annotations

import click

from hub_core.catalog import installed
from hub_core.cli.options import json_flag
from hub_core.cli.output import complaints, echo_json, table
from hub_core.declare import KINDS, Kind


@click.command()
@json_flag
def plugins(as_json: bool) -> None:
    """List installed plugins, importing none."""
    keys = ("name", "distribution", "version", "status", "reason")
    found = [{key: getattr(plugin, key) for key in keys} for plugin in installed().plugins()]
    if as_json:
        echo_json(found)
    elif found:
        click.echo(table([[*row.values()] for row in found], keys))
    else:
        click.echo("No plugin is installed.", err=True)


@click.command()
@click.option("--kind", type=click.Choice(KINDS), help="Only methods of this kind.")
@json_flag
def methods(kind: Kind | None, as_json: bool) -> None:
    """List the methods of all installed plugins."""
    catalog = installed()
    found = [
        {
            "kind": provided.kind,
            "name": provided.method.name,
            "summary": provided.method.summary,
            "plugin": provided.plugin.name,
        }
        for provided in catalog.methods(kind)
    ]
    if as_json:
        echo_json(found)
    elif found:
        click.echo(table([[*row.values()] for row in found], tuple(found[0])))
    else:
        click.echo("No installed plugin provides such a method.", err=True)
    for sentence in complaints(catalog.plugins()):
        click.echo(sentence, err=True)
