"""The short form of a report, for the terminal and as plain data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from hub_report.measures import misses, mistakes
from hub_report.sections import Section

WORST = 5
"""Mistakes in the short form."""


def lines(section: Section) -> Iterator[str]:
    """Yield the lines about a task."""
    evidence = section.evidence
    if not evidence.rows:
        yield f"{evidence.task}: no examples were held out"
        return
    yield f"{evidence.task}: {len(evidence.rows):,} examples of {_plain(evidence.source)}"
    yield "  " + "  ".join(f"{_plain(n)} {v:.4f}" for n, v in evidence.metrics.items())
    if (found := section.calibration) is not None:
        yield f"  calibration error (ECE) {found.error:.4f}; right {found.lean}"
    if rows := _worst(section):
        yield f"  {'furthest off' if section.estimates else 'worst mistakes'}"
        yield from _columns(rows)
    elif section.outcomes:
        yield "  no mistakes"


def _worst(section: Section) -> list[tuple[str, ...]]:
    if section.estimates:
        return [
            (f"{e.guess:.4g}", f"is {e.truth:.4g}", _plain(e.text))
            for e in misses(section.estimates, WORST)
        ]
    return [
        (
            _plain(o.guess),
            *(() if o.probability is None else (f"{o.probability:.4f}",)),
            f"is {_plain(o.truth)}",
            _plain(o.text),
        )
        for o in mistakes(section.outcomes, WORST)
    ]


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows as aligned columns, cut to the terminal's width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    room = max(60, shutil.get_terminal_size((100, 24)).columns)
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        line = "    " + "  ".join([*cells, row[-1]])
        yield line if len(line) <= room else f"{line[: room - 1]}…"


def _plain(text: str) -> str:
    """Return text on one line, without control characters that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def as_data(section: Section) -> dict[str, Any]:
    """Return what the short form says, ready for JSON."""
    evidence, found = section.evidence, section.calibration
    values: dict[str, Any] = {
        "source": evidence.source,
        "examples": len(evidence.rows),
        "metrics": dict(evidence.metrics),
    }
    if found is not None:
        values |= {"ece": found.error, "excess_confidence": found.excess}
    if section.outcomes:
        values["mistakes"] = [
            {"text": o.text, "truth": o.truth, "prediction": o.guess, "probability": o.probability}
            for o in mistakes(section.outcomes, WORST)
        ]
    if section.estimates:
        values["mistakes"] = [
            {"text": e.text, "truth": e.truth, "prediction": e.guess}
            for e in misses(section.estimates, WORST)
        ]
    return values
