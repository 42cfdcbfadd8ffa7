"""What was measured, as tables; metrics that differ between tasks have tables of their own."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import hub_core.card.facts as read
from hub_core.card.escape import cell, table
from hub_core.card.facts import Facts
from hub_core.card.figures import number
from hub_core.card.published import Published


def results(facts: Facts, published: Published) -> Iterator[str]:
    """Yield the blocks of the section."""
    yield "## Results"
    found = read.results(facts)
    if not found:
        yield "Nothing was measured: no examples were held out."
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for task, split, metrics, count in found:
        row = [cell(task), cell(split, bare=True), f"{count:,}", *map(number, metrics.values())]
        groups.setdefault(tuple(metrics), []).append(row)
    for names, rows in groups.items():
        header = ["task", "split", "n", *(cell(name, bare=True) for name in names)]
        yield table(header, rows, numbers=1 + len(names))
    if published.plot:
        yield f"![Loss and metrics by epoch, and held-out results]({quote(published.plot)})"
