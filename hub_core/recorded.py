"""What an artifact records of itself, as objects: recipe, tasks, and who its backbone is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hub_core import manifest
from hub_core.declare import Task
from hub_core.errors import IntegrityError
from hub_core.identity import Identity
from hub_core.manifest import Manifest
from hub_core.recipe import Recipe, parse


def tasks_of(content: Manifest) -> list[Task]:
    """Return an artifact's tasks."""
    return [Task(name, tuple(entry.labels), entry.columns) for name, entry in content.tasks.items()]


def identity_of(content: Manifest) -> Identity:
    """Return who an artifact's backbone is."""
    known = content.backbone
    return Identity(known.fingerprint, known.config, known.hint, known.name)


def recipe_of(folder: Path, content: Manifest) -> Recipe:
    """Return an artifact's recipe, every method named by its plugin.

    Raises:
        IntegrityError: It is not the recipe of the artifact's tasks and methods.
    """
    recipe = parse(_qualified(content), source=str(folder))
    _check_recipe(recipe, content, folder)
    return recipe


def _qualified(content: Manifest) -> dict[str, Any]:
    """Return the recipe with every method named by its plugin, as it was trained.

    Only plugins that are installed are ever used: a name that the manifest gives is looked up in
    the catalog and nowhere else.
    """
    recipe = json.loads(json.dumps(content.recipe))
    entries = {
        (entry.kind, entry.name): f"{entry.plugin}:{entry.name}" for entry in content.methods
    }

    def qualify(kind: Any, choice: dict[str, Any]) -> None:
        bare = str(choice.get("name", "")).rpartition(":")[2]
        choice["name"] = entries.get((kind, bare), choice.get("name"))

    try:
        qualify("backbone", recipe["backbone"])
        for task in recipe["tasks"].values():
            qualify("head", task["head"])
        for kind, key in (("strategy", "strategies"), ("compressor", "compressors")):
            for choice in recipe.get(key, []):
                qualify(kind, choice)
    except (KeyError, AttributeError, TypeError) as error:
        raise IntegrityError(f"the manifest's recipe lacks {error}") from None
    return dict(recipe)


def _check_recipe(recipe: Recipe, content: Manifest, folder: Path) -> None:
    """Refuse a manifest whose recipe is not the one of its tasks and methods."""
    chosen = [("strategy", choice) for choice in recipe.strategies]
    chosen += [("compressor", choice) for choice in recipe.compressors]
    parts = [(kind, choice.name.rpartition(":")[2]) for kind, choice in chosen]
    stored = [(m.kind, m.name) for m in content.methods if m.kind in ("strategy", "compressor")]
    if set(recipe.tasks) != set(content.tasks) or parts != stored:
        raise IntegrityError(f"{folder}: the recipe in {manifest.NAME} is of another artifact")
