"""``hub extract``: one task of an artifact with several, as an artifact of its own."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from hub_core.cli.fetching import download_flag, found, place_argument
from hub_core.cli.options import json_flag, place_flag
from hub_core.cli.output import difference, echo_json


@click.command()
@place_argument
@click.option("--task", required=True, metavar="NAME", help="The task that is taken out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where the artifact goes; a folder that is not there yet.",
)
@place_flag
@download_flag
@json_flag
def extract(
    place: str, task: str, out: Path, backbone: str, max_download: str | None, as_json: bool
) -> None:
    """Take one task of several out, as an artifact of its own.

    It holds what the tasks share and the head of this one, and predicts the same: a fresh process
    loads it and compares before it is there. The artifact that it comes from stays as it is.
    """
    from hub_core.cli.messages import log_to_stderr
    from hub_core.errors import ArtifactError

    log_to_stderr()
    if out.exists():  # before anything is fetched
        raise ArtifactError(f"{out} exists already", hint="choose another folder")
    folder = found(place, max_download).folder
    from hub_core.devices import choose_threads
    from hub_core.extract import extract as take_out

    choose_threads(0)
    content = take_out(folder, task, out, backbone=backbone, name=place)
    assert content.proof is not None
    if as_json:
        metrics, proof = content.tasks[task].metrics, content.proof.model_dump()
        echo_json({"folder": str(out), "task": task, "metrics": metrics, "proof": proof,
                   "parameters": content.parameters})  # fmt: skip
        return
    click.echo(
        f"{out} holds the task {task} alone; in a fresh process, the outputs of "
        f"{content.proof.rows} examples {difference(content.proof.difference)}"
    )
    click.echo(f'\nNext:\n  hub predict {shlex.quote(str(out))} "…"', err=True)
