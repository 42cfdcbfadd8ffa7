"""Tell once that a plugin uses what will go: which plugin, which version of it, and the change.

What is deprecated still works; docs/plugins.md says for how long.
"""

from __future__ import annotations

import functools
import logging
import re

log = logging.getLogger("hub_core")


def tell(user: object, old: str, *, instead: str, gone: str) -> None:
    """Tell, once in a process, that a plugin uses a name or a signature that will go.

    Args:
        user: The plugin's module, class, function or object that uses it.
        old: What it uses, such as ``Part.on_step`` or ``Stage(rate=…)``.
        instead: What takes its place.
        gone: The distribution and the version in which it goes, such as ``hub-core 0.3``.
    """
    module = getattr(user, "__module__", None) or getattr(user, "__name__", "")
    who = _brought_by(str(module).partition(".")[0])
    _tell_once(f"{who} uses {old}, which goes in {gone}; {instead} takes its place")


@functools.cache
def _tell_once(sentence: str) -> None:
    log.warning("%s", sentence)


def _brought_by(package: str) -> str:
    """Return name and version of the distribution that brings a plugin's package."""
    from importlib import metadata  # late: importing the core's light modules costs nothing

    own = re.compile(rf"^\[hub_core[].].*=\s*{re.escape(package)}\b", re.M | re.S)
    for distribution in metadata.distributions():
        if own.search(distribution.read_text("entry_points.txt") or ""):
            return f"{distribution.name} {distribution.version}"
    return package  # a plugin that is only offered, as toys are
