"""``hub plugins entry``: what a registry would say of a plugin."""

from __future__ import annotations

from pathlib import Path

import click

from hub_core.cli.output import echo_json


@click.command()
@click.argument("place", type=click.Path(path_type=Path, exists=True), metavar="PATH|WHEEL")
@click.option(
    "--url",
    default="",
    metavar="URL",
    help="Where others fetch it: its wheel or its repository; default: [project.urls].",
)
@click.option("--subdirectory", default="", metavar="DIR", help="Its folder in that repository.")
@click.option("--no-facts", is_flag=True, help="Do not measure what its methods can do.")
def entry(place: Path, url: str, subdirectory: str, no_facts: bool) -> None:
    """Print the registry entry of a plugin as JSON: of its folder, or of its wheel.

    Nothing is installed. Its code is run, to describe its methods and to measure them, each with
    its default options.
    """
    from hub_core.scaffold.entry import entry_of

    echo_json(entry_of(place, url=url, subdirectory=subdirectory, measure=not no_facts))
