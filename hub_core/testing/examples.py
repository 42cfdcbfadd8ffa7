"""Toy data for any head: a few words decide what is to be predicted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hub_core.declare import Column

GOOD, BAD = ("fine", "good", "warm", "sweet"), ("dull", "cold", "bad", "sour")
OTHER = ("film", "day", "the", "a", "very", "this", "was", "it")
LABELS = ("good", "bad")


def rows_for(columns: Sequence[Column], count: int, seed: int) -> list[dict[str, Any]]:
    """Return rows with a value in every required column.

    Args:
        columns: What a head reads.
        count: Rows.
        seed: Other rows for another seed.
    """
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        label = LABELS[number % 2]
        words = chance.choices(OTHER, k=chance.randint(2, 6))
        words.append(chance.choice(GOOD if label == "good" else BAD))
        chance.shuffle(words)
        rows.append(
            {c.names[0]: value_for(c, words, label) for c in columns if c.required or c.target}
        )
    return rows


def value_for(column: Column, words: Sequence[str], label: str) -> Any:
    """Return what a column holds for a text; what is predicted can be read off the text."""
    mood = [word for word in words if word in GOOD + BAD]
    if column.kind == "text":
        return mood[0] if column.target else " ".join(words)
    if column.kind == "label":
        return label
    if column.kind == "labels":
        return [label, *(["film"] if "film" in words else [])]
    if column.kind == "score":
        return (2.0 if label == "good" else -1.0) + 0.1 * ("film" in words)
    if column.kind == "tokens":
        return list(words)
    return ["mood" if word in mood else "other" for word in words]
