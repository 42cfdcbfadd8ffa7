"""Whether a distribution was made for this hub-core, by what it requires.

The usual ranges are compared here: importing ``packaging`` takes longer than all else that listing
plugins does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hub_core import __version__

_CORE = re.compile(r"hub[-_.]+core(?![-\w.])", re.I)
_CLAUSE = r"\s*(>=|<=|<|>)\s*(\d+(?:\.\d+)*)\s*"
_PLAIN = re.compile(rf"hub[-_.]+core{_CLAUSE}(?:,{_CLAUSE})*", re.I)


def refusal(requires: Iterable[str]) -> str:
    """Return why requirements exclude this hub-core, or an empty text.

    Raises:
        ValueError: One cannot be read.
    """
    for text in requires:
        if _CORE.match(text) and not _is_plainly_met(text) and (wanted := _excluded(text)):
            return f"it needs hub-core {wanted}, this is {__version__}"
    return ""


def _is_plainly_met(text: str) -> bool:
    """Return whether a range of plain numbers holds this version; if unsure, say no."""
    if not _PLAIN.fullmatch(text) or not re.fullmatch(r"\d+(\.\d+)*", __version__):
        return False
    own = _numbers(__version__)
    for sign, version in re.findall(_CLAUSE, text):
        other = _numbers(version)
        holds = {">=": own >= other, "<=": own <= other, "<": own < other, ">": own > other}
        if not holds[sign]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """Return a release without the zeros at its end, which mean nothing: 1.0 is 1."""
    found = [int(part) for part in version.split(".")]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def _excluded(text: str) -> str:
    """Return the range of a requirement that applies and excludes this version."""
    from packaging.requirements import Requirement

    wanted = Requirement(text)
    applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
    met = wanted.specifier.contains(__version__, prereleases=True)
    return str(wanted.specifier) if applies and not met else ""
