"""``hub report``: parse, gather, draw, write, and print the short form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hub_report.gather import Subject

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option(
    "--data",
    multiple=True,
    metavar="FILE",
    help="Labelled data to report on, in place of the held-out examples of the training.",
)
@click.option("--out", type=FOLDER, metavar="FOLDER", help="Where it goes; default: DIR.report.")
@click.option("--task", default="", metavar="NAME", help="Report on this task only.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="ROLE=NAME",
    help="Where a role's column in FILE has another name than in training.",
)
@click.option(
    "--backbone",
    default="",
    metavar="PATH|ID",
    help="Where its backbone is, if not where it was last used; only with --data.",
)
@click.option("--open", "show", is_flag=True, help="Open it in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(
    folder: Path,
    data: tuple[str, ...],
    out: Path | None,
    task: str,
    columns: tuple[str, ...],
    backbone: str,
    show: bool,
    as_json: bool,
) -> None:
    """Draw how an artifact learned and where it is wrong.

    Writes report.html, which is one file that works without a network, and each figure as PNG.
    Without --data, it is about the examples that were held out in training, whose predictions are
    in DIR.run.
    """
    from hub_core import manifest
    from hub_report import gather
    from hub_report.writing import refuse_other

    content = manifest.read(folder)
    where = out or folder.resolve().with_name(f"{folder.resolve().name}.report")
    refuse_other(where)
    if data:
        subject = gather.from_data(
            folder, content, data, task=task, columns=_named(columns), backbone=backbone
        )
    else:
        subject = gather.from_run(folder, content, task)
    _make(subject, where, as_json=as_json)
    if show:
        _open(where / "report.html")


def _named(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        role, sign, name = pair.partition("=")
        if not (role and sign and name):
            raise click.UsageError(f"--column {pair}: must read ROLE=NAME")
        found[role] = name
    return found


def _make(subject: Subject, where: Path, *, as_json: bool) -> None:
    """Draw and write everything, then say it shortly."""
    from hub_report.drawing import png
    from hub_report.page import page
    from hub_report.sections import learning_charts, section_of
    from hub_report.terminal import as_data, lines
    from hub_report.writing import write

    learning = learning_charts(subject)
    sections = [section_of(evidence) for evidence in subject.evidence]
    charts = [*learning, *(chart for section in sections for chart in section.charts)]
    pictures = {f"{chart.stem}.png": png(chart.figure) for chart in charts}
    write(where, page(subject, learning, sections), pictures)
    if as_json:
        tasks = {section.evidence.task: as_data(section) for section in sections}
        files = [str(where / name) for name in ("report.html", *pictures)]
        click.echo(json.dumps({"tasks": tasks, "files": files}, indent=2))
        return
    for section in sections:
        click.echo("\n".join(lines(section)))
    click.echo("\n".join(_files(where, pictures)))


def _files(where: Path, pictures: Mapping[str, bytes]) -> Iterator[str]:
    yield f"report: {_shown(where / 'report.html')}"
    yield f"figures: {', '.join(pictures)}"


def _shown(path: Path) -> str:
    """Return a path as people read it: relative where that is shorter."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _open(path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        click.echo(f"No browser could be started; open {path} yourself.", err=True)
