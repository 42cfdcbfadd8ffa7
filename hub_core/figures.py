"""Figures as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """Return bytes for people: ``812 B``, ``1.2 MB``."""
    number, units = float(count), ["B", "kB", "MB", "GB"]
    while number >= 999.5 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:.3g} {units[0]}"


def share(part: int, whole: int) -> str:
    """Return ``1,234 of 4,386,178 (0.028 %)``."""
    percent = 100 * part / whole if whole else 100.0
    return f"{part:,} of {whole:,} ({percent:.{4 if percent > 99 else 2}g} %)"
