"""``hub evaluate`` and ``hub verify``: what a saved artifact is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub_core.cli.options import json_flag, place_flag, task_flags
from hub_core.cli.output import difference, echo_json, table

if TYPE_CHECKING:
    from hub_core.evaluate import Predictor

FOLDER = click.Path(path_type=Path)


def opened(folder: Path, backbone: str, precision: str = "fp32") -> Predictor:
    """Load an artifact for a command, to compute in a precision."""
    from hub_core.manifest import read

    read(folder)  # what is no artifact is refused before torch is imported
    from hub_core.cli.messages import log_to_stderr
    from hub_core.devices import choose_precision, choose_threads
    from hub_core.loading import load

    log_to_stderr()
    choose_threads(0)
    predictor = load(folder, backbone=backbone)
    device = next(predictor.model.parameters()).device
    predictor.precision = choose_precision(precision, device)
    return predictor


@click.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="FILE",
    help="Labelled data: CSV, TSV, JSONL, Parquet, Arrow or hub:OWNER/NAME; may be repeated.",
)
@task_flags
@place_flag
@json_flag
def evaluate(
    folder: Path,
    data: tuple[str, ...],
    task: str,
    columns: tuple[str, ...],
    backbone: str,
    as_json: bool,
) -> None:
    """Measure an artifact on labelled data."""
    from hub_core.cli.flags import columns_of

    named = columns_of(columns)
    predictor = opened(folder, backbone)
    metrics, count = predictor.evaluate(list(data), task=task, columns=named)
    name = predictor.task(task).name
    if as_json:
        echo_json({"task": name, "examples": count, "metrics": metrics})
        return
    click.echo(table((metric, f"{value:.4f}") for metric, value in metrics.items()))
    click.echo(f"{name}: {count:,} examples", err=True)


@click.command()
@click.argument("folder", type=FOLDER)
@place_flag
@json_flag
def verify(folder: Path, backbone: str, as_json: bool) -> None:
    """Check that an artifact is what was saved.

    Compares every file with its sha256, then the outputs on a few examples with the saved ones.
    """
    from hub_core.manifest import read

    content = read(folder)
    import hub_core
    from hub_core.cli.messages import log_to_stderr

    log_to_stderr()
    check = hub_core.verify(folder, backbone=backbone)
    if as_json:
        echo_json(
            {
                "files": len(content.files),
                "rows": check.rows,
                "difference": check.difference,
                "same": check.same,
            }
        )
        return
    click.echo(
        f"{folder} is what was saved: {len(content.files)} files have their sha256,\n"
        f"the outputs of {check.rows} examples {difference(check.difference)}, "
        "and what is predicted is equal"
    )
