"""What a head attends to as one HTML file: no script, nothing fetched, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from hub_core.cli.explaining import pieces
from hub_core.cli.pages import document

if TYPE_CHECKING:
    from hub_core.explain import Explanation

COMMAND = "hub predict"
OPEN = 4
"""Up to so many hops are shown at once; more have to be opened."""


def page(place: str, explained: Sequence[Explanation], told: Sequence[Sequence[str]]) -> str:
    """Return the whole page.

    Args:
        place: The artifact, as the user named it.
        explained: What is attended to in each input.
        told: The cells of each prediction.
    """
    texts = "1 text" if len(explained) == 1 else f"{len(explained):,} texts"
    header = (
        f"<header><h1>What {escape(place)} attends to</h1>"
        f'<p class="note">{texts}. The more attention a word gets, the stronger its shade, up to '
        'the word that gets most of it.<br>none <span class="key" role="img" aria-label="from no '
        'shade to the strongest"></span> most</p><p class="note">Attention says where the head '
        "looked. It is no proof that a word caused the prediction.</p></header>\n"
    )
    cards = "".join(_card(one, cells) for one, cells in zip(explained, told, strict=True))
    return document(COMMAND, f"Attention of {place}", header + cards, ("explainpage.css",))


def _card(explained: Explanation, cells: Sequence[str]) -> str:
    head, *others = cells or [""]
    badges = "".join(f'<span class="badge">{escape(cell)}</span>' for cell in others)
    count = len(explained.rest)
    return (
        f'<article><div class="head"><h2>{escape(head)}</h2>{badges}</div>'
        f"{_shaded(explained, None)}{_notes(explained)}"
        f"{_hops(explained) if count > 1 else ''}{_figures(explained)}</article>\n"
    )


def _shaded(explained: Explanation, hop: int | None) -> str:
    """Return the texts with shaded words: by one hop, or by the mean of all."""
    weights = [word.weight if hop is None else word.hops[hop] for word in explained.words]
    largest = max(weights, default=1.0) or 1.0
    known = dict(zip(explained.words, weights, strict=True))
    paragraphs = []
    for segment in range(len(explained.texts)):
        last = max((w.end for w in explained.words if w.segment == segment), default=0)
        done, html = 0, ""
        for piece, word in pieces(explained, segment):
            text = escape(piece)
            if word is not None:
                share, title = known[word] / largest, f"{word.text}: {known[word]:.4f}"
                text = f'<span style="--w:{share:.3f}" title="{escape(title)}">{text}</span>'
            elif explained.truncated and done >= last and piece.strip():
                text = f'<span class="unread" style="--w:0" title="not read">{text}</span>'
            done, html = done + len(piece), html + text
        paragraphs.append(f'<p class="shaded">{html}</p>')
    return "".join(paragraphs)


def _notes(explained: Explanation) -> str:
    notes = [f"Special tokens get {explained.elsewhere:.2f}."]
    if explained.truncated:
        notes.append("The text is longer than what the model reads: the end was not read.")
    return f'<p class="note">{" ".join(notes)}</p>'


def _hops(explained: Explanation) -> str:
    count = len(explained.rest)
    items = "".join(
        f"<li><h3>hop {hop + 1}, special tokens {explained.rest[hop]:.2f}</h3>"
        f"{_shaded(explained, hop)}</li>"
        for hop in range(count)
    )
    shown = " open" if count <= OPEN else ""
    return (
        f"<details{shown}><summary>Each of the {count} hops</summary>"
        f'<ol class="hops">{items}</ol></details>'
    )


def _figures(explained: Explanation) -> str:
    """Return the weights as a table, for those who cannot see shades."""
    count = len(explained.rest)
    names = ["word", "weight", *(f"hop {n + 1}" for n in range(count) if count > 1)]
    lines = [(word.text, word.weight, word.hops) for word in explained.words]
    lines.append(("special tokens", explained.elsewhere, explained.rest))
    rows = "".join(
        f'<tr><th scope="row">{escape(text)}</th>'
        + "".join(
            f'<td class="n" data-name="{name}">{value:.4f}</td>'
            for name, value in zip(names[1:], (mean, *(hops if count > 1 else ())), strict=True)
        )
        + "</tr>"
        for text, mean, hops in lines
    )
    head = "".join(
        f'<th scope="col"{" class=n" if name != "word" else ""}>{name}</th>' for name in names
    )
    return (
        "<details><summary>Figures</summary><table>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
    )
