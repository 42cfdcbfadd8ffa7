"""``hub push``: publish an artifact on the Hub as one commit, with its card."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub_core.cli.fetching import GARBAGE
from hub_core.cli.options import json_flag, place_flag
from hub_core.cli.output import echo_json, table
from hub_core.figures import size

if TYPE_CHECKING:
    from hub_core.publishing import Description
    from hub_core.remote.push import Pushed, Wanted


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Only you and your team may see it.")
@click.option("--tag", default="", metavar="TAG", help="A tag for the new commit, such as v1.")
@click.option("--message", default="", metavar="TEXT", help="The commit's message.")
@click.option("--pr", "pull_request", is_flag=True, help="Propose it as a pull request.")
@click.option(
    "--backbone-id",
    default="",
    metavar="OWNER/NAME",
    help="Where the backbone is on the Hub; compared by its fingerprint.",
)
@click.option(
    "--with-backbone", is_flag=True, help="Publish the backbone too, as OWNER/NAME-backbone."
)
@place_flag
@click.option("--license", "license_id", default="", metavar="ID", help="Such as apache-2.0.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Such as en.")
@click.option("--dataset", "datasets", multiple=True, metavar="ID", help="A data set's Hub id.")
@click.option("--overwrite", is_flag=True, help="Delete files there that are no artifact's.")
@click.option("--dry-run", is_flag=True, help="Check all, print card and files, publish nothing.")
@json_flag
def push(
    folder: Path,
    name: str,
    private: bool,
    tag: str,
    message: str,
    pull_request: bool,
    backbone_id: str,
    with_backbone: bool,
    backbone: str,
    license_id: str,
    languages: tuple[str, ...],
    datasets: tuple[str, ...],
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish an artifact on the Hub.

    One commit: the artifact, and a model card made of its hub.json. A README.md in FOLDER is used
    as the card's text. What holds secrets or paths of this machine, or whose proof does not hold,
    is not published.
    """
    gc.set_threshold(GARBAGE)
    from hub_core.manifest import read

    content = read(folder)  # what is no artifact is refused before torch is imported
    from hub_core.publishing import Description, publish
    from hub_core.remote.push import Wanted

    default = f"Publish {', '.join(content.tasks)} with hub-core"
    wanted = Wanted(name, private, tag, message or default, pull_request, overwrite)
    description = Description(license_id, languages, datasets, backbone_id, with_backbone,
                              backbone)  # fmt: skip
    if dry_run:
        _show(folder, wanted, description)
        return
    done = publish(folder, wanted, description)
    if as_json:
        echo_json({"name": done.name, "commit": done.commit, "url": done.url,
                   "changed": done.changed})  # fmt: skip
    else:
        _tell(done, wanted)


def _tell(done: Pushed, wanted: Wanted) -> None:
    if not done.changed:
        click.echo(f"Nothing to publish: {done.name}@{done.commit[:12]} holds exactly this.")
    elif wanted.pull_request:
        click.echo(f"Proposed as {done.url}")
    else:
        click.echo(f"Published {done.url}")
        click.echo(f"Pull it with: hub pull {done.name}@{wanted.tag or done.commit}")


def _show(folder: Path, wanted: Wanted, description: Description) -> None:
    """Print what would be published."""
    from hub_core.publishing import listing, staged

    with staged(folder, wanted, description, dry=True) as ready:
        click.echo(ready.card)
        rows = [(name, size(count)) for name, count in listing(ready.files)]
        click.echo(table(rows, ("file", "size")), err=True)
    click.echo("Nothing was published.", err=True)
