"""How commands print: aligned tables, JSON and short figures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hub_core.figures import size

if TYPE_CHECKING:
    from hub_core.catalog import Plugin


def table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Return rows as left-aligned columns two spaces apart, on lines without trailing spaces."""
    lines = [[printable(cell) for cell in row] for row in ([header] if header else []) + [*rows]]
    if not lines:
        return ""
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (w - _width(cell)) for cell, w in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def printable(text: str) -> str:
    """Return text on one line, without control characters that a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def _width(text: str) -> int:
    """Return the terminal cells that a text takes; East Asian characters take two."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)


def echo_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON to stdout, readable whatever the console's encoding."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    click.echo(json.dumps(_finite(value), ensure_ascii=not unicode, indent=indent, default=str))


def _finite(value: Any) -> Any:
    """Return a value with what JSON has no number for as null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def complaints(plugins: Iterable[Plugin]) -> list[str]:
    """Return a sentence for each plugin that cannot be used."""
    return [f"plugin {p.name} is {p.status}: {p.reason}" for p in plugins if p.status != "ok"]


def figures(values: Mapping[str, float]) -> str:
    """Return metrics on one line, such as ``accuracy 0.8612  macro_f1 0.8550``."""
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())


def reported(report: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return what parts report as rows; what is counted in bytes is written as a size."""
    return [
        (name, size(int(value)) if "bytes" in name.split(".")[-1].split("_") else f"{value:.4g}")
        for name, value in report.items()
    ]


def difference(value: float) -> str:
    """Return how far outputs are apart, as a share of their scale."""
    return f"differ by {value:.1e} of their scale" if value else "are exactly the same"
