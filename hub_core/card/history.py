"""Epochs as a table, for a card without a picture; what is no figure is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hub_core.card.escape import cell, table
from hub_core.card.figures import mapping, number

MOST = 20
"""Epochs that the table has at most, beside the best."""


def epochs(history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the table, if there is a history."""
    if not history:
        return
    names = _names(history)
    tasks = {task for task, _ in names}
    header = ["epoch", "loss"]
    header += [cell(m if len(tasks) == 1 else f"{t} {m}", bare=True) for t, m in names]
    step = -(-len(history) // MOST)
    rows = [
        [_epoch(place, entry), number(entry.get("loss")), *(_value(entry, *n) for n in names)]
        for place, entry in enumerate(history, start=1)
        if place % step == 0 or entry.get("best") is True
    ]
    yield table(header, rows, numbers=len(header))
    if any(entry.get("best") is True for entry in history):
        yield "Validated after each epoch; the model of the marked one was kept."


def _names(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return task and metric of everything that was validated."""
    found = {
        (str(task), str(metric)): None
        for entry in history
        for task, metrics in mapping(entry.get("validation")).items()
        for metric in mapping(metrics)
    }
    return list(found)


def _epoch(place: int, entry: Mapping[str, Any]) -> str:
    return f"**{place}**" if entry.get("best") is True else str(place)


def _value(entry: Mapping[str, Any], task: str, metric: str) -> str:
    return number(mapping(mapping(entry.get("validation")).get(task)).get(metric))
