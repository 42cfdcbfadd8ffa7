"""Labels that are too rare to be learned well, told before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from hub_core.data import label_counts
from hub_core.declare import Column, Task
from hub_core.model import Example
from hub_core.wording import SHOWN, shown

RATIO = 10
"""How many times as many examples the largest label may have as the smallest."""
FEW = 5
"""Training examples below which a label is told."""


def counts_of(examples: Iterable[Example], columns: Sequence[Column], task: Task) -> dict[str, int]:
    """Return how many examples have each of the task's labels; none where it has none."""
    roles = [column.role for column in columns if column.kind in ("label", "labels")]
    counts: Counter[str] = Counter()
    for role in roles:
        counts += label_counts(examples, role)
    return {label: counts[label] for label in task.labels} if roles else {}


def rare_labels(counts: Mapping[str, int], advice: str = "") -> list[str]:
    """Return a sentence where labels are far apart, and one where some have few examples.

    Args:
        counts: Label to number of training examples.
        advice: What the head can do about the first; may be empty.
    """
    there = {label: count for label, count in counts.items() if count}
    sentences = []
    if there:
        most, least = max(there, key=there.__getitem__), min(there, key=there.__getitem__)
        if there[most] > RATIO * there[least]:
            sentences.append(
                f"the label {shown(most)} has {there[most]:,} training examples, "
                f"{shown(least)} only {there[least]:,}: what is rare may never be predicted"
                + (f"; {advice}" if advice else "")
            )
    few = [
        f"{shown(label)} ({count or 'none'})"
        for label, count in sorted(counts.items(), key=lambda item: item[1])
        if count < FEW
    ]
    if few:
        more = ", …" if len(few) > SHOWN else ""
        sentences.append(
            f"labels with fewer than {FEW} training examples are hardly learned: "
            f"{', '.join(few[:SHOWN])}{more}"
        )
    return sentences
