"""Plugins that exist, installed or not: ``registry.json`` of this hub-core and of others.

``entries`` says what one holds, ``reading`` gets and checks it, ``pinned`` remembers which others
this user accepted. A registry only describes: nothing is imported or installed because of it.
"""

from __future__ import annotations

from hub_core.registry.entries import (
    FactsEntry,
    MethodEntry,
    OptionsEntry,
    PluginEntry,
    Registry,
    Shape,
    Source,
)
from hub_core.registry.pinned import add, forget, known, remembered, shipped
from hub_core.registry.reading import RegistryError, read

__all__ = [
    "FactsEntry",
    "MethodEntry",
    "OptionsEntry",
    "PluginEntry",
    "Registry",
    "RegistryError",
    "Shape",
    "Source",
    "add",
    "forget",
    "known",
    "read",
    "remembered",
    "shipped",
]
