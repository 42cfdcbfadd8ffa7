"""How a check says what does not hold: one sentence that an author can act on."""

from __future__ import annotations


class ConformanceError(AssertionError):
    """Something that every method of its kind keeps does not hold for this one."""


def expect(holds: object, sentence: str) -> None:
    """Require that something holds.

    Raises:
        ConformanceError: It does not.
    """
    if not holds:
        raise ConformanceError(sentence)


def some(names: object, most: int = 3) -> str:
    """Return a few of many names, and how many more there are."""
    found = [str(name) for name in names] if hasattr(names, "__iter__") else [str(names)]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
