"""The picture of an artifact's results, drawn by the first installed plugin that can."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import metadata

from hub_core import added
from hub_core.manifest import Manifest

GROUP = "hub_core.pictures"
"""Entry points: a name, and a function of a manifest that returns a PNG, or None."""
_PNG = b"\x89PNG\r\n\x1a\n"

log = logging.getLogger("hub_core")


def picture(content: Manifest) -> bytes | None:
    """Return a PNG, or None where no plugin draws one; one that fails is only warned of.

    Nothing is imported of a plugin that is switched off or made for another hub-core.
    """
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda found: found.name):
        drawn = None if added.refusal(point) else _drawn(point, content)
        if drawn is not None:
            return drawn
    return None


def _drawn(point: metadata.EntryPoint, content: Manifest) -> bytes | None:
    try:
        draw: Callable[[Manifest], object] = point.load()
        drawn = draw(content)
    except (Exception, SystemExit) as error:
        log.warning("the picture '%s' could not be drawn: %s: %s",
                    point.name, type(error).__name__, error)  # fmt: skip
        return None
    if drawn is None:
        return None
    if not (isinstance(drawn, bytes) and drawn.startswith(_PNG)):
        log.warning("the picture '%s' is left out: it is no PNG", point.name)
        return None
    return drawn
