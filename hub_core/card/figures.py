"""Figures as a card writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def number(value: Any, digits: int = 4) -> str:
    """Return a number, or a dash for what is none."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.{digits}f}" if known and math.isfinite(value) else "-"


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, or an empty one for what is none."""
    return value if isinstance(value, Mapping) else {}
