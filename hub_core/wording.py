"""How messages show values, and how they list many problems without growing with the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub_core.errors import listed

SHOWN = 10
"""Problems that a message lists before it only counts."""
WIDTH = 60
"""Letters of a value that a message shows."""


def shown(value: Any) -> str:
    """Return a value as a message shows it: quoted if it is text, and not too long."""
    text = f"'{value}'" if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"


def named(names: Sequence[str]) -> str:
    """Return the first of some names, quoted, with commas between them."""
    return ", ".join(map(shown, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")


def counted(number: int, noun: str) -> str:
    """Return ``1 row`` or ``1,234 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class Problems:
    """Problems of which the first are kept and all are counted.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int = SHOWN) -> None:
        self.most = most
        self.first: list[str] = []
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def add(self, problem: str) -> None:
        """Count a problem, and keep it if it is among the first."""
        self.count += 1
        if self.count <= self.most:
            self.first.append(problem)

    def listed(self) -> str:
        """Return the first problems as a list, and how many more there are."""
        more = [f"and {self.count - SHOWN:,} more"] if self.count > SHOWN else []
        return listed([*self.first[:SHOWN], *more])
