"""Plugins that exist, installed or not: ``registry.json`` of this hub-core and of others.

``entries`` says what one holds, ``reading`` gets and checks it, ``pinned`` remembers which others
this user accepted. A registry only describes: nothing is imported or installed because of it.
"""

from __future__ import annotations

from hub_core.errors import RegistryError
from hub_core.registry.entries import (
    FactsEntry,
    MethodEntry,
    OptionsEntry,
    PluginEntry,
    Registry,
    Shape,
    Source,
)
from hub_core.registry.pinned import Accepted, accepted, add, forget, known, remembered, shipped
from hub_core.registry.reading import read

__all__ = [
    "Accepted",
    "FactsEntry",
    "MethodEntry",
    "OptionsEntry",
    "PluginEntry",
    "Registry",
    "RegistryError",
    "Shape",
    "Source",
    "accepted",
    "add",
    "forget",
    "known",
    "read",
    "remembered",
    "shipped",
]
