"""``hub predict``: predictions for texts from the command line, a file or stdin."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub_core.cli.artifacts import given_by, opened
from hub_core.cli.explaining import attention_of, echo_explained
from hub_core.cli.fetching import download_flag, place_argument
from hub_core.cli.options import given_flags, json_flag, place_flag, task_flags
from hub_core.cli.output import echo_json, printable, table
from hub_core.errors import DataError
from hub_core.sources import is_table

if TYPE_CHECKING:
    from hub_core.evaluate import Predictor
    from hub_core.explain import Explanation
    from hub_core.model import Example


@click.command()
@place_argument
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A text on each line, or a table (CSV, JSONL, Parquet …) with the task's columns.",
)
@task_flags
@place_flag
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    help="auto: bf16 where the processor computes in it fast.",
)
@given_flags
@download_flag
@click.option(
    "--explain",
    is_flag=True,
    help="Mark the words by how much the head attends to them, if it can show it.",
)
@click.option(
    "--explain-html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the texts with their words shaded so as one HTML page.",
)
@json_flag
def predict(
    place: str,
    texts: tuple[str, ...],
    file: Path | None,
    task: str,
    columns: tuple[str, ...],
    backbone: str,
    precision: str,
    labels: tuple[str, ...],
    head_file: str,
    max_download: str | None,
    explain: bool,
    page: Path | None,
    as_json: bool,
) -> None:
    """Predict texts with an artifact.

    Without TEXT and --file, a text is read from each line of standard input. With --json, a JSON
    object is printed on a line for each text.
    """
    from hub_core import evaluate
    from hub_core.cli.flags import columns_of

    if texts and file:
        raise click.UsageError("give texts or --file, not both")
    named = columns_of(columns)
    tabular = file is not None and is_table(str(file))
    inputs: Sequence[Any] = [] if tabular else list(texts) or _lines(file)
    given = given_by(labels, head_file)
    predictor = opened(place, backbone, precision, given=given, max_download=max_download)
    if file is not None and tabular:
        inputs, examples = _of_table(predictor, file, task, named)
    else:
        examples = predictor.given(inputs, task=task)
    explained = _explained(predictor, examples, task) if explain or page else []
    name, exact = predictor.task(task).name, predictor.precision
    predictions = evaluate.predict(predictor.model, name, examples, precision=exact)
    if page is not None:
        _write_page(page, place, explained, predictions)
    if as_json:
        _print_json(inputs, predictions, explained if explain else [])
    elif explain:
        _print_explained(predictions, explained)
    else:
        _print(inputs, predictions)


def _lines(file: Path | None) -> list[str]:
    """Return the lines of a file or of stdin, without empty ones at the end."""
    if file is None and sys.stdin.isatty():
        raise click.UsageError("give texts, --file, or a text on each line of standard input")
    try:
        read = sys.stdin.buffer.read() if file is None else file.read_bytes()
        return read.decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        place = "standard input" if file is None else str(file)
        raise DataError(f"{place}: is not UTF-8: {error.reason}") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None


def _of_table(
    predictor: Predictor, file: Path, name: str, columns: Mapping[str, str]
) -> tuple[list[Any], Sequence[Example]]:
    """Return the inputs in a table, and their examples; targets in it are not read."""
    from hub_core import data, tables

    task = predictor.task(name)
    found = tables.read_table(str(file))
    wanted = [c for c in predictor.model.head(task.name).columns if not c.target]
    trained = {c.role: task.columns[c.role] for c in wanted if task.columns.get(c.role) in found[1]}
    names = data.columns_of(found, wanted, trained | dict(columns))
    examples = data.examples_of(found, wanted, names, None)
    return [next(iter(e.values())) if len(e) == 1 else e for e in examples], examples


def _explained(
    predictor: Predictor, examples: Sequence[Example], task: str
) -> Sequence[Explanation]:
    from hub_core.explain import explain

    return explain(predictor, examples, task=task)


def _write_page(
    path: Path,
    place: str,
    explained: Sequence[Explanation],
    predictions: Sequence[Mapping[str, Any]],
) -> None:
    from hub_core.cli import explainpage, pages

    text = explainpage.page(place, explained, list(map(_cells, predictions)))
    pages.write(path, text, explainpage.COMMAND)
    click.echo(f"Wrote {path}.", err=True)


def _print_json(
    inputs: Sequence[Any],
    predictions: Sequence[Mapping[str, Any]],
    explained: Sequence[Explanation],
) -> None:
    """Print an object for each input, with each word's weight where it is asked for."""
    attention = [{"attention": attention_of(one)} for one in explained] or [{}] * len(inputs)
    for given, prediction, more in zip(inputs, predictions, attention, strict=True):
        echo_json({"input": given, **prediction, **more}, indent=None)


def _print_explained(
    predictions: Sequence[Mapping[str, Any]], explained: Sequence[Explanation]
) -> None:
    """Print what was predicted of each input, and under it the input with its words marked."""
    lines = table(map(_cells, predictions)).splitlines()
    for line, one in zip(lines, explained, strict=True):
        click.echo(line)
        echo_explained(one)


def _print(inputs: Sequence[Any], predictions: Sequence[Mapping[str, Any]]) -> None:
    """Print what was predicted in columns, then the input, cut to the terminal's width."""
    rows = [
        [*_cells(prediction), printable(_text(given))]
        for given, prediction in zip(inputs, predictions, strict=True)
    ]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in table(rows).splitlines():
        click.echo(line[: width - 1] + "…" if 0 < width < len(line) else line)


def _cells(prediction: Mapping[str, Any]) -> list[str]:
    """Return a prediction's values for people; nested ones are left to ``--json``."""
    return [_cell(value, ", ") for value in prediction.values() if not isinstance(value, Mapping)]


def _cell(value: Any, between: str = " ") -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list | tuple):
        return between.join(_cell(item) for item in value) or "(none)"
    return str(value)


def _text(given: Any) -> str:
    values = given.values() if isinstance(given, Mapping) else [given]
    return " | ".join(_cell(value) for value in values)
