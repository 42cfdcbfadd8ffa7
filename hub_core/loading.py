"""Load an artifact by replaying how it was made, and verify it.

``delta``: the backbone is fetched, what was trained is filled in, the parts finalize. ``whole``:
the empty architecture is built, the parts finalize, everything is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub_core import catalog, manifest
from hub_core.artifact import STATE
from hub_core.build import Built, assemble, plan
from hub_core.declare import Task
from hub_core.errors import IntegrityError, listed
from hub_core.evaluate import Predictor
from hub_core.identity import Identity
from hub_core.manifest import Manifest
from hub_core.model import TaskModel, tensors_of
from hub_core.part import Context
from hub_core.proof import ELSEWHERE, PROBE, Check, compare
from hub_core.recipe import Recipe, parse
from hub_core.state import join, load_tensors
from hub_core.training import fill


def load(
    folder: str | Path, *, backbone: str = "", device: str = "cpu", check: bool = True
) -> Predictor:
    """Load an artifact.

    Args:
        folder: The artifact.
        backbone: Where its backbone is, if it is not where this machine last used it.
        device: Where the model goes.
        check: Compare every file with its sha256 first.

    Raises:
        FormatError: The folder is no artifact.
        IntegrityError: A file or the set of tensors is not what was saved.
        BaseMismatchError: The backbone that was found is another one.
        UnknownMethodError: A plugin that it needs is not installed.
    """
    folder = Path(folder)
    content = manifest.read(folder)
    if check:
        manifest.check_files(folder, content)
    tasks = tasks_of(content)
    built = replay(folder, content, place=backbone, device=torch.device(device))
    return Predictor(built.model, tasks, content, folder)


def replay(
    folder: Path,
    content: Manifest,
    *,
    place: str = "",
    device: torch.device | None = None,
    seed: int | None = None,
) -> Built:
    """Build an artifact's model again, filled and finalized.

    Args:
        folder: The artifact, its files already checked.
        content: What its ``hub.json`` holds.
        place: Where its backbone is, before any other place.
        device: Where the model goes; the processor by default.
        seed: Read no weights of the backbone, this seed gives it some; what was trained is
            filled in all the same.
    """
    whole = content.form == "whole"
    ctx = Context(
        device=device or torch.device("cpu"),
        restoring=True,
        empty=whole or seed is not None,
        folder=folder if whole else None,
        identity=identity_of(content),
        place=place,
    )
    recipe = recipe_of(folder, content)
    if seed is not None:
        training = recipe.training.model_copy(update={"seed": seed})
        recipe = recipe.model_copy(update={"training": training})
    blueprint = plan(recipe, catalog.installed(), ctx)
    built = assemble(blueprint, tasks_of(content), ctx, states_of(folder, content))
    tensors = read_tensors(folder, content)
    if whole:
        built.finalize()
        _fill_strictly(built.model, tensors, set(tensors_of(built.model)), folder)
    else:
        _fill_strictly(built.model, tensors, set(built.delta(())), folder)
        built.finalize()
    return built


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


def states_of(folder: Path, content: Manifest) -> list[Any]:
    """Return the state of every part of an artifact, in order."""
    stored = load_tensors(folder / STATE) if STATE in content.files else {}
    parts = [m for m in content.methods if m.kind in ("strategy", "compressor")]
    return [join(entry.state, stored) for entry in parts]


def verify(folder: str | Path, *, backbone: str = "") -> Check:
    """Check an artifact's files, load it, and compare its outputs with the saved ones.

    Raises:
        IntegrityError: Something is not what was saved; also what ``load`` raises.
    """
    predictor = load(folder, backbone=backbone)
    assert predictor.manifest is not None
    check = compare(predictor)
    proof = predictor.manifest.proof
    limit = ELSEWHERE if proof is None else proof.elsewhere
    if not check.difference <= limit or not check.same:
        raise IntegrityError(
            f"{folder}: its outputs differ from the saved ones by {check.difference:.1e} of their "
            f"scale, accepted is {limit:.0e}"
            + ("" if check.same else ", and other labels are predicted"),
            hint="do not trust it before its author has explained the difference",
        )
    return check


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


def read_tensors(folder: Path, content: Manifest) -> dict[str, Tensor]:
    """Return all model tensors under our names."""
    skipped = {STATE, PROBE}
    tensors: dict[str, Tensor] = {}
    for name in content.files:
        if not name.endswith(".safetensors") or name in skipped:
            continue
        found = load_tensors(folder / name)
        if name in content.renamed:
            theirs = {their: ours for ours, their in content.renamed[name].items()}
            found = {theirs.get(key, key): tensor for key, tensor in found.items()}
        tensors.update(found)
    if set(tensors) != set(content.tensors):
        raise IntegrityError(_difference(folder, set(content.tensors), set(tensors)))
    return tensors


def _fill_strictly(
    model: TaskModel, tensors: Mapping[str, Tensor], needed: set[str], folder: Path
) -> None:
    known = tensors_of(model)
    if needed - set(tensors) or set(tensors) - set(known):
        expected = needed | (set(tensors) & set(known))
        raise IntegrityError(_difference(folder, expected, set(tensors)))
    wrong = [
        f"{name} has shape {list(tensor.shape)}, the model's has {list(known[name].shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != known[name].shape
    ]
    if wrong:
        raise IntegrityError(f"{folder}: tensors do not fit the model:{listed(wrong[:10])}")
    fill(model, tensors)


def _difference(folder: Path, expected: set[str], found: set[str]) -> str:
    lines = [f"missing: {name}" for name in sorted(expected - found)]
    lines += [f"unexpected: {name}" for name in sorted(found - expected)]
    more = [f"and {len(lines) - 10} more"] if len(lines) > 10 else []
    return f"{folder}: its tensors are not those of the model:{listed(lines[:10] + more)}"
