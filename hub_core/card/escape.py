"""Text of a manifest as Markdown that is shown as it is: no markup, no link, no second line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST = 120
"""Letters of a value that a card shows."""
_JOINERS = "\u200c\u200d"
_HARMLESS = re.compile(r"[^\W_]+([ _-][^\W_]+)*")
_MARKUP = re.compile(r"[\\`*_<>\[\]|&]")
_TICKS = re.compile("`+")


def plain(value: object, most: int = LONGEST) -> str:
    """Return a value as text on one line, without what is not printable, and not too long."""
    printable = "".join(c if c.isprintable() or c in _JOINERS else " " for c in str(value))
    line = " ".join(printable.split())
    return line if len(line) <= most else f"{line[:most]}…"


def code(value: object) -> str:
    """Return a value as a code span, in which nothing is markup."""
    line = plain(value) or "(empty)"
    fence = "`" * (1 + max(map(len, _TICKS.findall(line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def word(value: object) -> str:
    """Return a value as it is if that is safe, else as a code span."""
    line = plain(value)
    return line if _HARMLESS.fullmatch(line) else code(line)


def prose(value: object) -> str:
    """Return a sentence as it is, what could be markup in it escaped."""
    return _MARKUP.sub(r"\\\g<0>", plain(value))


def cell(value: object, *, bare: bool = False) -> str:
    """Return a value for a table, whose cells a bar would end.

    Args:
        value: The value.
        bare: Leave it without a code span where that is safe.
    """
    line = plain(value)
    if "|" in line or "\\" in line:
        return f"<code>{''.join(c if c.isalnum() else f'&#{ord(c)};' for c in line)}</code>"
    return word(line) if bare else code(line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Return a table of cells that are Markdown already.

    Args:
        header: What stands above the columns.
        rows: The rows.
        numbers: How many of the last columns hold numbers, which stand at the right.
    """
    left = len(header) - numbers
    rule = ["---"] * left + ["--:"] * numbers
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *rows))


def among(values: Sequence[object], last: str = "and", most: int = 20) -> str:
    """Return values as code spans with commas between them, the first of them if they are many."""
    spans = [code(value) for value in values[:most]]
    if len(values) > most:
        return f"{', '.join(spans)} {last} {len(values) - most:,} more"
    return f" {last} ".join(filter(None, [", ".join(spans[:-1]), *spans[-1:]]))
