"""The hooks by which a plugin announces its methods: the first file a plugin author reads.

A plugin is a distribution with an entry point in the group ``hub_core``::

    [project.entry-points.hub_core]
    hub-mymethod = "hub_mymethod.plugin"

and that module implements the hooks it has something for::

    from hub_core.spec import Method, hookimpl

    @hookimpl
    def hub_strategies():
        yield Method(
            name="my-method",
            summary="What it does, in a line",
            factory="hub_mymethod.part:MyMethod",
            options="hub_mymethod.options:MyOptions",
        )

Hooks register, objects behave: a hook only lists methods, and must not import torch. The chosen
method's factory is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from hub_core.declare import Method

__all__ = ["HubSpecs", "Method", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("hub_core")
hookimpl = pluggy.HookimplMarker("hub_core")


class HubSpecs:
    """One hook per kind of method."""

    @hookspec
    def hub_backbones(self) -> Iterable[Method]:
        """Yield backbones; the factory is a ``hub_core.model.Backbone``."""
        return ()

    @hookspec
    def hub_heads(self) -> Iterable[Method]:
        """Yield heads; the factory is a ``hub_core.model.Head``."""
        return ()

    @hookspec
    def hub_strategies(self) -> Iterable[Method]:
        """Yield tuning strategies; the factory is a ``hub_core.part.Part``."""
        return ()

    @hookspec
    def hub_compressors(self) -> Iterable[Method]:
        """Yield compressors; the factory is a ``hub_core.part.Part``."""
        return ()
