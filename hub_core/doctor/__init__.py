"""Say what is wrong with the installed plugins and with what they run in.

Every plugin is imported in a process of its own, so that none of them can take this one along.
"""

from __future__ import annotations

from collections.abc import Iterator

from hub_core.doctor.findings import Finding, State
from hub_core.doctor.plugins import PATIENCE, of_plugins
from hub_core.doctor.surroundings import of_surroundings

__all__ = ["PATIENCE", "Finding", "State", "examine"]


def examine(patience: float = PATIENCE) -> Iterator[Finding]:
    """Yield what holds and what does not: each plugin, then the environment.

    Args:
        patience: Seconds that the import of a plugin may take.
    """
    yield from of_plugins(patience)
    yield from of_surroundings()
