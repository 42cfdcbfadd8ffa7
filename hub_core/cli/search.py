"""``hub search``: artifacts on the Hub for a backbone, a task, a method."""

from __future__ import annotations

from dataclasses import asdict

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, figures, table


@click.command()
@click.argument("words", nargs=-1)
@click.option("--task", default="", metavar="TASK", help="A task of the Hub, or a head's name.")
@click.option("--backbone", default="", metavar="ID", help="The backbone's Hub id.")
@click.option("--method", "methods", multiple=True, help="A strategy or compressor.")
@click.option("--all", "everything", is_flag=True, help="Also what other libraries published.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@json_flag
def search(
    words: tuple[str, ...],
    task: str,
    backbone: str,
    methods: tuple[str, ...],
    everything: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Search the Hub for artifacts, the newest first."""
    from hub_core.remote.search import Query
    from hub_core.remote.search import search as ask

    found = ask(Query(" ".join(words), task, backbone, methods, everything, limit))
    if as_json:
        echo_json([asdict(one) for one in found])
    elif found:
        rows = [
            (f.name, f.task, " ".join(f.backbones), figures(f.metrics), f.license, f.modified)
            for f in found
        ]
        header = ("name", "task", "backbone", "claimed metrics", "licence", "modified")
        click.echo(table(rows, header))
    else:
        click.echo("Nothing on this Hub fits.", err=True)
