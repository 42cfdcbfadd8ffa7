"""What plugins add besides methods: commands, readers and pictures, each an entry point.

A plugin that is switched off, or made for another hub-core, is not imported for these either.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from hub_core.catalog import Plugin


def off(distribution: str, plugins: Iterable[Plugin]) -> Plugin | None:
    """Return the plugin because of which nothing of a distribution may be imported, if any."""
    return next(
        (p for p in plugins
         if p.distribution == distribution and p.status in ("disabled", "incompatible")),
        None,
    )  # fmt: skip


def refusal(point: EntryPoint) -> str:
    """Return why an entry point must not be imported, as a sentence; empty where it may be."""
    from hub_core.catalog import installed, label_of  # late: 'hub --help' needs only the origins

    found = off(label_of(point.dist), installed().plugins()) if point.dist else None
    return f"it is {found.status}: {found.reason}" if found else ""


def origin(point: EntryPoint) -> str:
    """Return the distribution and the version that bring an entry point."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
