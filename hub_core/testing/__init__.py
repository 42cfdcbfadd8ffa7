"""The conformance suites: what every method of a kind keeps, ready to be tried on yours.

A plugin's whole test file is a class::

    from hub_core.testing import StrategyTests

    class TestMine(StrategyTests):
        method = "hub-mine:my-method"
        cases = {"default": {}, "wide": {"width": 64}}

pytest runs every check with every case on toy models and toy data, in seconds and without the
internet. A check that fails says what does not hold and what to do. What cannot hold is listed
with its reason, and must then fail::

        known_failures = {"test_trains_in_bfloat16[wide]": "float64 is part of the method"}

Overriding a check is an error, and so is a listed failure that does not exist. ``facts`` runs the
same checks without pytest and returns what they measured.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub_core.testing.checks.finishing import bytes_of
    from hub_core.testing.measuring import facts
    from hub_core.testing.models import BackboneTests, HeadTests
    from hub_core.testing.parts import CompressorTests, StrategyTests

__all__ = ["BackboneTests", "CompressorTests", "HeadTests", "StrategyTests", "bytes_of", "facts"]

# imported on first use: the toys are a plugin in here, and must be as light as any other
_PLACES = {
    "BackboneTests": "hub_core.testing.models",
    "CompressorTests": "hub_core.testing.parts",
    "HeadTests": "hub_core.testing.models",
    "StrategyTests": "hub_core.testing.parts",
    "bytes_of": "hub_core.testing.checks.finishing",
    "facts": "hub_core.testing.measuring",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'hub_core.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(_PLACES[name]), name)
