"""The words that a fast tokenizer's tokens are pieces of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub_core.model import Words


def words_of(encoding: Any, texts: Sequence[str]) -> Words:
    """Return the word of each token of an encoding; None for what stands in no text.

    A word is what the tokenizer's pre-tokenizer leaves together, without blanks around it, as far
    as it was read: where the input is cut inside a word, that is its beginning.

    Args:
        encoding: What ``tokenizers`` gives for the input.
        texts: The text, or both texts of a pair.
    """
    keys = list(zip(encoding.sequence_ids, encoding.word_ids, strict=True))
    ends: dict[Any, tuple[int, int]] = {}
    for key, (start, end) in zip(keys, encoding.offsets, strict=True):
        if None not in key and start < end:
            before = ends.get(key, (start, end))
            ends[key] = min(before[0], start), max(before[1], end)
    places = {key: _trimmed(key[0], *span, texts) for key, span in ends.items()}
    return [places.get(key) for key in keys]


def _trimmed(
    segment: int, start: int, end: int, texts: Sequence[str]
) -> tuple[int, int, int] | None:
    """Return a place without the blanks around it, or None where nothing else is there."""
    text = texts[segment][start:end]
    start += len(text) - len(text.lstrip())
    return (segment, start, start + len(text.strip())) if text.strip() else None
