"""``hub verify``: whether an artifact is what was saved, and reaches what it claims."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hub_core.cli.artifacts import loaded
from hub_core.cli.fetching import download_flag, found, place_argument
from hub_core.cli.options import json_flag, place_flag, task_flags
from hub_core.cli.output import difference, echo_json, table

if TYPE_CHECKING:
    from hub_core.claims import Comparison


@click.command()
@place_argument
@click.option(
    "--data",
    multiple=True,
    metavar="FILE",
    help="Also measure again on these data, and compare with what is claimed.",
)
@task_flags
@place_flag
@download_flag
@json_flag
def verify(
    place: str,
    data: tuple[str, ...],
    task: str,
    columns: tuple[str, ...],
    backbone: str,
    max_download: str | None,
    as_json: bool,
) -> None:
    """Check that an artifact is what was saved.

    Compares every file with its sha256, then the outputs on a few examples with the saved ones.
    With --data, the metrics that it claims are measured again: on the data of a split, or on all
    data that the splits were taken from.
    """
    from hub_core.cli.flags import columns_of

    named = columns_of(columns)
    pulled = found(place, max_download)
    if not pulled.ours:
        from hub_core.errors import FormatError

        raise FormatError(f"{place} was not saved by hub-core, so it has nothing to compare with",
                          hint="measure it on labelled data: hub evaluate")  # fmt: skip
    predictor = loaded(pulled, backbone)
    from hub_core.claims import compare
    from hub_core.loading import check_probe

    check = check_probe(predictor, place)
    assert predictor.manifest is not None
    count = len(predictor.manifest.files)
    if not as_json:
        click.echo(
            f"{place} is what was saved: {count} files have their sha256,\n"
            f"the outputs of {check.rows} examples {difference(check.difference)}, "
            "and what is predicted is equal"
        )
    measured = compare(predictor, list(data), task=task, columns=named) if data else None
    if as_json:
        echo_json({"files": count, "rows": check.rows, "difference": check.difference,
                   "same": check.same, "measured": measured and asdict(measured)})  # fmt: skip
    elif measured is not None:
        _show(measured)


def _show(measured: Comparison) -> None:
    rows = [(c.metric, f"{c.claimed:.4f}", f"{c.measured:.4f}") for c in measured.claims]
    click.echo(table(rows, (measured.task, f"claimed ({measured.split})", "measured")))
    which = (
        f"the {measured.split} data of the claims"
        if measured.same
        else "which are other data than those of the claims"
    )
    click.echo(f"on {measured.examples:,} examples, {which}", err=True)
