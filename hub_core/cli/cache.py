"""``hub cache``: what training keeps on disk for as long as it lasts, and what was left behind."""

from __future__ import annotations

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, table
from hub_core.figures import size


@click.group()
def cache() -> None:
    """List or clear what training keeps on disk."""


@cache.command("list")
@json_flag
def list_files(as_json: bool) -> None:
    """List files of features, and whether a running training has them."""
    from hub_core.cachefiles import entries

    found = list(entries())
    if as_json:
        echo_json(
            [
                {"path": str(e.path), "bytes": e.size, "seconds": round(e.age), "used": e.used}
                for e in found
            ]
        )
    elif found:
        rows = [
            (e.path.name, size(e.size), _age(e.age), "in use" if e.used else "left behind")
            for e in found
        ]
        click.echo(table(rows, ("file", "size", "age", "state")))
        click.echo(f"in {found[0].path.parent}", err=True)
    else:
        click.echo("The cache is empty.", err=True)


@cache.command()
def clear() -> None:
    """Delete what no running training has."""
    from hub_core.cachefiles import clear as remove

    files, count = remove()
    click.echo(f"Deleted {files} file{'' if files == 1 else 's'}, {size(count)}.", err=True)


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
