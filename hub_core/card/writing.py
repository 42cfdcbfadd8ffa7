"""The model card: front matter that the Hub indexes, and a body for people."""

from __future__ import annotations

from hub_core.card.body import MARK, body
from hub_core.card.facts import facts_of
from hub_core.card.header import fenced, header, laid_over, unfenced
from hub_core.card.published import Published
from hub_core.manifest import Manifest
from hub_core.remote.reference import parse


def write_card(content: Manifest, published: Published) -> str:
    """Return the README.md of an artifact on the Hub.

    An author's own README.md comes first: its front matter is laid over the generated one, and its
    body replaces the generated body. A card that was generated before is nobody's own.

    Args:
        content: What ``hub.json`` says.
        published: What else is known.

    Raises:
        RecipeError: The manifest holds no recipe.
        FormatError: The author's front matter cannot be read.
        RemoteError: The repository's name is none.
    """
    parse(published.repository)
    facts = facts_of(content)
    front = header(facts, published)
    own: dict[str, object] = {}
    text = ""
    if MARK not in published.own:
        own, text = unfenced(published.own)
    written = text.strip("\r\n")
    return f"{fenced(laid_over(own, front))}\n{written or body(facts, published).rstrip()}\n"
