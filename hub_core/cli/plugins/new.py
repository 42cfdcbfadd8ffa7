"""``hub plugins new``: a small distribution of its own that works, to be changed."""

from __future__ import annotations

from pathlib import Path

import click

from hub_core.declare import KINDS, Kind


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What its method is.")
@click.option("--method", default="", help="The method's name; default: NAME without 'hub-'.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where its folder is made; default: here.",
)
def new(name: str, kind: Kind, method: str, folder: Path) -> None:
    """Write a new plugin that works, to be changed.

    NAME is its distribution's name, such as hub-mymethod.
    """
    from hub_core.scaffold.names import names_for
    from hub_core.scaffold.write import files, write

    names = names_for(name, kind, method)
    target = write(names, folder)
    click.echo(f"{target}: the {kind} '{names.method}', in {len(files(names))} files")
    for path in sorted(files(names)):
        click.echo(f"  {path}")
    click.echo(f"\nNext:\n  hub plugins check {target}", err=True)
