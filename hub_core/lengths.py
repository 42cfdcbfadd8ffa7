"""How long the values of data are: in words, in characters, or in tokens as a model reads them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hub_core.build import Resolved
from hub_core.declare import Column, Task
from hub_core.model import Backbone, Example, Head
from hub_core.part import Context

CHUNK = 1000
"""Examples that are tokenized at once."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the values of a role are.

    Args:
        role: The role.
        unit: ``words``, ``characters`` or ``tokens``.
        least: The shortest.
        half: Half of them are not longer.
        most_but_few: 95 % of them are not longer.
        most: The longest.
        histogram: Shortest, longest and number of the values in each part; widths double.
        cut: How many are longer than the backbone reads.
    """

    role: str
    unit: str
    least: int
    half: int
    most_but_few: int
    most: int
    histogram: Sequence[tuple[int, int, int]]
    cut: int = 0


def plain_lengths(column: Column, examples: Sequence[Example]) -> list[Lengths]:
    """Return the lengths of a column's values, in every unit that they have."""
    measures: dict[str, Callable[[Any], int]] = {}
    if column.kind == "text":
        measures = {"words": lambda text: len(text.split()), "characters": len}
    elif column.kind == "tokens":
        measures = {"words": len}
    return [
        _lengths(column.role, unit, (measure(e[column.role]) for e in examples if column.role in e))
        for unit, measure in measures.items()
        if any(column.role in example for example in examples)
    ]


def _lengths(role: str, unit: str, values: Iterable[int], cut: int = 0) -> Lengths:
    counts = Counter(values)
    whole = counts.total()
    ordered = sorted(counts)

    def within(share: float) -> int:
        left = math.ceil(share * whole)
        for value in ordered:
            left -= counts[value]
            if left <= 0:
                return value
        return ordered[-1]

    parts: Counter[int] = Counter()
    for value, count in counts.items():
        parts[max(0, value - 1).bit_length()] += count
    histogram = [
        (max((1 << part >> 1) + 1 if part else 0, ordered[0]), min(1 << part, ordered[-1]), count)
        for part, count in ((part, parts[part]) for part in range(min(parts), max(parts) + 1))
    ]
    return Lengths(role, unit, ordered[0], within(0.5), within(0.95), ordered[-1], histogram, cut)


def token_lengths(
    backbone: Resolved, head: Resolved, task: Task, examples: Sequence[Example]
) -> Lengths:
    """Return the lengths of what goes into the model, as the head makes it."""
    model: Backbone = backbone.provided.factory().load(backbone.options, Context(empty=True))
    own: Head = head.provided.factory()(head.options, task, model)
    lengths: Counter[int] = Counter()
    cut = 0
    for start in range(0, len(examples), CHUNK):
        for row in own.features(examples[start : start + CHUNK], model):
            lengths[row.length] += 1
            cut += row.truncated
    return _lengths("input", "tokens", lengths.elements(), cut)
