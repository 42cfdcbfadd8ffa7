"""``hub plugins list``: what is installed, from the metadata alone."""

from __future__ import annotations

import click

from hub_core.catalog import installed
from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, table


@click.command("list")
@json_flag
def listed(as_json: bool) -> None:
    """List installed plugins, importing none."""
    show(as_json=as_json)


def show(*, as_json: bool) -> None:
    """Print a row for each plugin."""
    keys = ("name", "distribution", "version", "status", "reason")
    found = [{key: getattr(plugin, key) for key in keys} for plugin in installed().plugins()]
    if as_json:
        echo_json(found)
    elif found:
        click.echo(table([[*row.values()] for row in found], keys))
    else:
        click.echo("No plugin is installed.", err=True)
