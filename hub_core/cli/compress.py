"""``hub compress``: make a trained artifact smaller and faster."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub_core.cli.options import column_flag, json_flag

if TYPE_CHECKING:
    from hub_core.jobs import Result


@click.command()
@click.argument("start", metavar="FOLDER|OWNER/NAME")
@click.option(
    "--with",
    "compressors",
    multiple=True,
    required=True,
    metavar="METHOD",
    help="How it is made smaller; several are applied in order.",
)
@click.option("--set", "settings", multiple=True, metavar="METHOD.OPTION=VALUE", help="One value.")
@click.option(
    "--data",
    multiple=True,
    metavar="FILE",
    help="What is calibrated on, and split off to measure on, as in training.",
)
@click.option("--validation", metavar="FILE|SHARE", help="Validation data; default: as trained.")
@click.option("--test", metavar="FILE|SHARE", help="Test data; default: as trained.")
@column_flag("Where a role's column has another name.")
@click.option("--task", metavar="NAME", help="The task of these data, where there are several.")
@click.option("--threads", type=int, help="Processor threads; 0 leaves one core free.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where the new artifact goes.",
)
@click.option("--overwrite", is_flag=True, help="Replace an artifact that is in --out.")
@json_flag
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
def compress(
    start: str,
    compressors: tuple[str, ...],
    settings: tuple[str, ...],
    threads: int | None,
    device: str | None,
    out: Path,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Make a trained artifact smaller and faster.

    It is not trained further. What the compressors do is measured: bytes, time, and with --data the
    metrics too. The new artifact holds the whole model and needs no backbone.
    """
    from hub_core import compressing
    from hub_core.catalog import installed
    from hub_core.cli.fetching import lock_here
    from hub_core.cli.flags import Flags, overlay
    from hub_core.cli.messages import log_to_stderr
    from hub_core.cli.progress import reporter
    from hub_core.origin import Origin
    from hub_core.remote.pull import Wishes

    log_to_stderr(verbose=False, quiet=quiet)
    training = {"threads": threads, "device": device}
    given = Flags(
        compressors=compressors,
        settings=settings,
        training={key: value for key, value in training.items() if value is not None},
        **flags,
    )
    origin = Origin.open(start, wishes=Wishes(lock=lock_here()))
    base: dict[str, Any] = {"tasks": {name: {} for name in origin.content.tasks}}
    recipe = overlay(base, given, installed())
    with reporter(quiet=quiet) as report:
        result = compressing.compress(origin, recipe, out=out, overwrite=overwrite, report=report)
    _tell(result, out, as_json=as_json, quiet=quiet)


def _tell(result: Result, out: Path, *, as_json: bool, quiet: bool) -> None:
    from hub_core.cli.effects import effects_table
    from hub_core.cli.output import echo_json
    from hub_core.cli.train import as_data, summary

    if as_json:
        echo_json(as_data(result, out))
        return
    assert result.manifest is not None
    click.echo(effects_table(result.manifest.effects) + "\n\n" + summary(result, out))
    if not quiet:
        click.echo(f"\nNext:\n  hub verify {shlex.quote(str(out))}", err=True)
