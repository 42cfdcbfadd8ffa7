"""``hub data check``: what data hold, and what training would refuse, before it is tried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hub_core.cli.options import column_flag, json_flag
from hub_core.cli.output import echo_json, printable, table
from hub_core.wording import SHOWN, counted

if TYPE_CHECKING:
    from hub_core.lengths import Lengths
    from hub_core.survey import Facts, Survey

BAR = 30
"""Widest bar of a histogram, in letters."""
LABELS = 20
"""Labels that are printed; ``--json`` gives all."""


@click.group()
def data() -> None:
    """Look into data before training."""


@data.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--head", metavar="METHOD", help="What it is for; default: what fits.")
@column_flag("Where a role's column has another name.")
@click.option("--test", multiple=True, metavar="FILE", help="Test data, to be compared with.")
@click.option("--backbone", metavar="MODEL|METHOD[=MODEL]", help="Count the tokens that it reads.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="METHOD.OPTION=VALUE",
    help="An option of --head, such as how several labels are separated.",
)
@json_flag
@click.pass_context
def check(
    ctx: click.Context,
    files: tuple[str, ...],
    head: str | None,
    columns: tuple[str, ...],
    test: tuple[str, ...],
    backbone: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what data hold, and which rows training would refuse.

    FILE is CSV, TSV, JSONL, Parquet or Arrow, a pattern in quotes or hub:OWNER/NAME#SPLIT. The
    exit code is 1 if anything would be refused.
    """
    if settings and not head:
        raise click.UsageError("--set needs --head")
    from hub_core.catalog import installed
    from hub_core.cli.flags import Flags, columns_of, overlay
    from hub_core.cli.messages import log_to_stderr
    from hub_core.survey import resolved, survey

    log_to_stderr()
    catalog = installed()
    flags = Flags(head=head, backbone=backbone, settings=settings, task="data")
    values = overlay({}, flags, catalog)
    own, model = values["tasks"]["data"].get("head"), values.get("backbone")
    found = survey(
        files,
        catalog,
        head=resolved(catalog, "head", own) if own else None,
        columns=columns_of(columns),
        test=test,
        backbone=resolved(catalog, "backbone", model) if model else None,
    )
    if as_json:
        echo_json(asdict(found) | {"usable": found.usable})
    else:
        click.echo("\n\n".join(_sections(found, chosen=bool(head))))
    ctx.exit(0 if found.usable else 1)


def _sections(found: Survey, *, chosen: bool) -> Iterable[str]:
    how = "" if chosen else "; --head chooses another"
    yield f"{found.source}: {counted(found.rows, 'row')}, read for {found.head}{how}"
    yield _columns(found.columns)
    if found.labels:
        yield _labels(found)
    yield from map(_lengths, found.lengths)
    yield _repeats(found)
    yield _verdict(found)


def _columns(columns: Sequence[Facts]) -> str:
    rows = []
    for facts in columns:
        several = len(facts.types) > 1
        types = ", ".join(f"{n:,} {t}" if several else t for t, n in facts.types.items())
        rows.append((facts.name, types or "-", f"{facts.missing:,}", facts.role or "-"))
    return _aligned(rows, ("column", "type", "empty", "read as"), right={2})


def _labels(found: Survey) -> str:
    most = max(found.labels.values())
    ranked = sorted(found.labels.items(), key=lambda item: -item[1])
    rows = [
        (label, f"{count:,}", f"{100 * count / found.examples:.1f} %", _bar(count, most))
        for label, count in ranked[:LABELS]
    ]
    text = _aligned(rows, ("label", "examples", "share", ""), right={1, 2})
    rest = len(ranked) - LABELS
    lines = [text]
    if rest > 0:
        lines.append(f"and {rest:,} more with {ranked[LABELS][1]:,} or fewer")
    lines += [f"{sentence[0].upper()}{sentence[1:]}." for sentence in found.rare]
    return "\n".join(lines)


def _lengths(lengths: Lengths) -> str:
    line = (
        f"{lengths.unit} in {lengths.role}: {lengths.least:,} to {lengths.most:,}; "
        f"half up to {lengths.half:,}, 95 % up to {lengths.most_but_few:,}"
    )
    if lengths.cut:
        line += f"; {counted(lengths.cut, 'text')} longer than the model reads, and would be cut"
    if lengths.unit == "characters":
        return line
    most = max(count for _, _, count in lengths.histogram)
    rows = [
        (f"{low:,} to {high:,}" if low < high else f"{low:,}", f"{count:,}", _bar(count, most))
        for low, high, count in lengths.histogram
    ]
    text = _aligned(rows, (), right={0, 1})
    return "\n".join([line, *(f"  {row}" for row in text.splitlines())])


def _repeats(found: Survey) -> str:
    lines = [f"{counted(found.duplicates, 'duplicate')} of an earlier row"]
    lines.append(f"{counted(found.conflicts, 'row')} like an earlier one, but with another target")
    lines += _listed(found.contradictions, found.conflicts)
    if found.test:
        lines.append(
            f"{found.overlap:,} of {counted(found.test_rows, 'test row')} in {found.test} "
            "are among the data too"
        )
    return "\n".join(lines)


def _verdict(found: Survey) -> str:
    lines = []
    if found.refused_rows:
        lines.append(f"{counted(found.refused_rows, 'row')} would be refused:")
        lines += _listed(found.refusals, len(found.refusals))
    if found.objection:
        lines.append(f"Training would be refused: {found.objection}")
    return "\n".join(lines or ["No row would be refused."])


def _listed(problems: Sequence[str], count: int) -> list[str]:
    lines = [f"  - {printable(problem)}" for problem in problems[:SHOWN]]
    return [*lines, f"  - and {count - SHOWN:,} more"] if count > SHOWN else lines


def _bar(count: int, most: int) -> str:
    """Return a bar that is as long as its count, and at least a letter if there is something."""
    return "#" * max(round(BAR * count / most), int(count > 0)) if most else ""


def _aligned(rows: Sequence[Sequence[str]], header: Sequence[str], right: set[int]) -> str:
    """Return a table in which some columns stand at the right."""
    lines = [header, *rows] if header else list(rows)
    widths = {column: max(len(line[column]) for line in lines) for column in right}
    shaped = [
        [
            cell.rjust(widths[number]) if number in right else cell
            for number, cell in enumerate(line)
        ]
        for line in lines
    ]
    return table(shaped)
