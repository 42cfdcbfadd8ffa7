"""``hub methods``: what is installed, and what exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub_core.catalog import installed
from hub_core.cli.options import json_flag
from hub_core.cli.output import complaints, echo_json, table
from hub_core.cli.registries import opened, registry_flags
from hub_core.declare import KINDS, Kind

if TYPE_CHECKING:
    from hub_core.registry import Registry


@click.command()
@click.option("--kind", type=click.Choice(KINDS), help="Only methods of this kind.")
@click.option("--available", is_flag=True, help="All that exist, installed or not.")
@click.option(
    "--web",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write all that exist as one HTML page to search.",
)
@registry_flags
@json_flag
def methods(
    kind: Kind | None,
    available: bool,
    web: Path | None,
    registries: tuple[str, ...],
    yes: bool,
    accept: bool,
    as_json: bool,
) -> None:
    """List the methods of all installed plugins."""
    if web is not None or available or registries:
        registry = opened(registries, yes=yes, accept=accept)
        if web is not None:
            _write_page(web, kind, registry)
        if available or registries or as_json:
            _list_available(kind, registry, as_json=as_json)
    else:
        _list_installed(kind, as_json=as_json)
    for sentence in complaints(installed().plugins()):
        click.echo(sentence, err=True)


def _list_installed(kind: Kind | None, *, as_json: bool) -> None:
    found = [
        {
            "kind": provided.kind,
            "name": provided.method.name,
            "summary": provided.method.summary,
            "plugin": provided.plugin.name,
        }
        for provided in installed().methods(kind)
    ]
    if as_json:
        echo_json(found)
    elif found:
        click.echo(table([[*row.values()] for row in found], tuple(found[0])))
    else:
        click.echo("No installed plugin provides such a method.", err=True)


def _list_available(kind: Kind | None, registry: Registry, *, as_json: bool) -> None:
    from hub_core.available import available
    from hub_core.cli.listing import standing

    found = [
        one
        for one in available(installed(), registry)
        if one.kind != "command" and kind in (None, one.kind)
    ]
    if as_json:
        echo_json([one.json() for one in found])
    elif found:
        rows = [(a.kind, a.name, a.summary, a.plugin, a.version, standing(a)) for a in found]
        click.echo(table(rows, ("kind", "name", "summary", "plugin", "version", "here")))
    else:
        click.echo("No plugin that is installed or listed provides such a method.", err=True)


def _write_page(path: Path, kind: Kind | None, registry: Registry) -> None:
    from hub_core.available import available
    from hub_core.cli.webpage import page, write

    found = [one for one in available(installed(), registry) if one.kind != "command"]
    found = [one for one in found if kind in (None, one.kind)]
    write(path, page(found))
    click.echo(f"Wrote {path} with {len(found)} method{'' if len(found) == 1 else 's'}.", err=True)
