"""``hub plugins registries``: which registries this user accepted, and how to take that back."""

from __future__ import annotations

from dataclasses import asdict

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, table


@click.command()
@click.option(
    "--forget", "place", default="", metavar="URL|FILE", help="Take back that it was accepted."
)
@json_flag
def registries(place: str, as_json: bool) -> None:
    """List the registries that you accepted, or forget one.

    They count in every command, besides the one that came with hub-core. What was installed from a
    registry that is forgotten stays.
    """
    from hub_core.registry import accepted, forget

    if place:
        forget(place)
        click.echo(f"{place} is forgotten; its next use is asked about again", err=True)
    found = [asdict(one) for one in accepted()]
    if as_json:
        echo_json(found)
    elif found:
        click.echo(table([[*row.values()] for row in found], ("registry", "sha256", "since")))
    else:
        click.echo("No registry counts but the one that came with hub-core.", err=True)
