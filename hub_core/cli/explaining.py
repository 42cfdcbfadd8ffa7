"""Words marked by how much a head attends to them: shaded in a terminal, with figures elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hub_core.cli.output import printable

if TYPE_CHECKING:
    from hub_core.explain import Explanation, Word


def pieces(explained: Explanation, segment: int) -> Iterator[tuple[str, Word | None]]:
    """Yield a text in pieces: words with what they get, and what stands between them with None."""
    text, done = explained.texts[segment], 0
    for word in explained.words:
        if word.segment == segment:
            if word.start > done:
                yield text[done : word.start], None
            yield text[max(done, word.start) : word.end], word
            done = max(done, word.end)
    if done < len(text):
        yield text[done:], None


def strength(weight: float, explained: Explanation) -> float:
    """Return a weight as a share of the largest one among the words, in [0, 1]."""
    return weight / max((word.weight for word in explained.words), default=1.0)


def attention_of(explained: Explanation) -> list[tuple[str, float]]:
    """Return every word with its weight, for JSON."""
    return [(word.text, word.weight) for word in explained.words]


def echo_explained(explained: Explanation) -> None:
    """Print a text under its prediction, its words marked."""
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        _shaded(explained)
    else:
        click.echo(f"  {plain(explained)}")


def plain(explained: Explanation) -> str:
    """Return the words with their weights as figures, such as ``good(0.42)``."""
    texts = [
        " ".join(
            f"{printable(word.text)}({word.weight:.2f})"
            for word in explained.words
            if word.segment == segment
        )
        for segment in range(len(explained.texts))
    ]
    return f"{' | '.join(texts)}{_note(explained)}"


def _note(explained: Explanation) -> str:
    """Return what the words do not tell: what special tokens get, and that words are missing."""
    rest = f"  [special tokens {explained.elsewhere:.2f}]"
    return f"{rest}  [cut: later words were not read]" if explained.truncated else rest


def _shaded(explained: Explanation) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    text = Text()
    for segment in range(len(explained.texts)):
        text.append(" | " if segment else "")
        for piece, word in pieces(explained, segment):
            style = _style(strength(word.weight, explained)) if word else ""
            text.append(_spaced(piece), style=style)
    text.append(_note(explained), style="dim")
    Console(highlight=False).print(Padding(text, (0, 0, 0, 2)))


def _spaced(piece: str) -> str:
    """Return text without what a terminal obeys; blanks at its ends stay."""
    left = " " if piece[:1].isspace() else ""
    right = " " if piece[-1:].isspace() and piece.strip() else ""
    return f"{left}{printable(piece.strip())}{right}"


def _style(share: float) -> Any:
    """Return black on amber, the paler the less; what gets next to nothing has no shade."""
    from rich.color import Color
    from rich.style import Style

    if share < 0.15:
        return ""
    amber = Color.from_rgb(255, round(238 - 66 * share), round(200 * (1 - share)))
    return Style(color=Color.parse("black"), bgcolor=amber, bold=share > 0.75)
