"""Model cards: ``README.md`` for the Hub, from ``hub.json`` and what its author adds."""

from __future__ import annotations

from hub_core.card.published import Published
from hub_core.card.writing import write_card

__all__ = ["Published", "write_card"]
