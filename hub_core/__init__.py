"""A plugin-based adapter hub for pre-trained language models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hub_core.evaluate import Predictor
    from hub_core.jobs import Result, train
    from hub_core.loading import load, verify
    from hub_core.recipe import Recipe
    from hub_core.sketch import dry_run

__all__ = [
    "Predictor",
    "Recipe",
    "Result",
    "__version__",
    "dry_run",
    "load",
    "train",
    "verify",
]

# imported on first use: importing hub_core itself must not import torch
_PLACES = {
    "Predictor": "hub_core.evaluate",
    "Recipe": "hub_core.recipe",
    "Result": "hub_core.jobs",
    "dry_run": "hub_core.sketch",
    "load": "hub_core.loading",
    "train": "hub_core.jobs",
    "verify": "hub_core.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'hub_core' has no attribute '{name}'")
    return getattr(importlib.import_module(_PLACES[name]), name)
