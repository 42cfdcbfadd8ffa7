"""``hub evaluate``: what an artifact is worth on labelled data; and how commands open one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hub_core.cli.fetching import download_flag, found, place_argument
from hub_core.cli.options import given_flags, json_flag, place_flag, task_flags
from hub_core.cli.output import echo_json, table

if TYPE_CHECKING:
    from hub_core.evaluate import Predictor
    from hub_core.readers import Given
    from hub_core.remote.pull import Pulled


def opened(
    place: str,
    backbone: str,
    precision: str = "fp32",
    *,
    given: Given | None = None,
    max_download: str | None = None,
) -> Predictor:
    """Find, and load, an artifact for a command, to compute in a precision."""
    return loaded(found(place, max_download), backbone, precision, given=given)


def loaded(
    pulled: Pulled, backbone: str, precision: str = "fp32", *, given: Given | None = None
) -> Predictor:
    """Load an artifact that was found."""
    from hub_core.manifest import read

    if pulled.ours:
        read(pulled.folder)  # what is damaged is refused before torch is imported
    from hub_core.cli.messages import log_to_stderr
    from hub_core.devices import choose_precision, choose_threads
    from hub_core.loading import load

    log_to_stderr()
    choose_threads(0)
    predictor = load(pulled.folder, backbone=backbone, given=given)
    device = next(predictor.model.parameters()).device
    predictor.precision = choose_precision(precision, device)
    return predictor


def given_by(labels: tuple[str, ...], head_file: str) -> Given | None:
    """Return what the user says about a repository, or None for nothing."""
    from hub_core.readers import Given

    return Given(labels=labels, head=head_file) if labels or head_file else None


@click.command()
@place_argument
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="FILE",
    help="Labelled data: CSV, TSV, JSONL, Parquet, Arrow or hub:OWNER/NAME; may be repeated.",
)
@task_flags
@place_flag
@given_flags
@download_flag
@json_flag
def evaluate(
    place: str,
    data: tuple[str, ...],
    task: str,
    columns: tuple[str, ...],
    backbone: str,
    labels: tuple[str, ...],
    head_file: str,
    max_download: str | None,
    as_json: bool,
) -> None:
    """Measure an artifact on labelled data."""
    from hub_core.cli.flags import columns_of

    named = columns_of(columns)
    given = given_by(labels, head_file)
    predictor = opened(place, backbone, given=given, max_download=max_download)
    metrics, count = predictor.evaluate(list(data), task=task, columns=named)
    name = predictor.task(task).name
    if as_json:
        echo_json({"task": name, "examples": count, "metrics": metrics})
        return
    click.echo(table((metric, f"{value:.4f}") for metric, value in metrics.items()))
    click.echo(f"{name}: {count:,} examples", err=True)
