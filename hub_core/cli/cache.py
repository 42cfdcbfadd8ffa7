"""``hub cache``: what training keeps on disk for as long as it lasts, and what was pulled."""

from __future__ import annotations

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, table
from hub_core.figures import size


@click.group()
def cache() -> None:
    """List or clear what training keeps and what was pulled."""


@cache.command("list")
@json_flag
def list_files(as_json: bool) -> None:
    """List files of features, whether a running training has them, and what was pulled."""
    from hub_core.cachefiles import entries
    from hub_core.notes import cache_folder
    from hub_core.remote.store import pulled

    found = [(e.path.name, e.path, e.size, e.age, "in use" if e.used else "left behind")
             for e in entries()]  # fmt: skip
    found += [(e.address, e.path, e.size, e.age, "pulled") for e in pulled()]
    if as_json:
        echo_json(
            [
                {"name": name, "path": str(path), "bytes": count, "seconds": round(age),
                 "state": state}
                for name, path, count, age, state in found
            ]
        )  # fmt: skip
    elif found:
        rows = [(name, size(count), _age(age), state) for name, _, count, age, state in found]
        click.echo(table(rows, ("what", "size", "age", "state")))
        click.echo(f"in {cache_folder()}", err=True)
    else:
        click.echo("The cache is empty.", err=True)


@cache.command()
@click.option("--pulled", "everything", is_flag=True, help="Also what was pulled from a Hub.")
def clear(everything: bool) -> None:
    """Delete what no running training has."""
    from hub_core.cachefiles import clear as remove
    from hub_core.remote import store

    files, count = remove()
    click.echo(f"Deleted {files} file{'' if files == 1 else 's'}, {size(count)}.", err=True)
    if everything:
        number, count = store.clear()
        click.echo(f"Deleted {number} pulled, {size(count)}.", err=True)


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
