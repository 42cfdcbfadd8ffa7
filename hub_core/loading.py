"""Load an artifact by replaying how it was made, and verify it.

``delta``: the backbone is fetched, what was trained is filled in, the parts finalize. ``whole``:
the empty architecture is built, the parts finalize, everything is filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub_core import catalog, manifest, readers
from hub_core.artifact import STATE
from hub_core.build import Built, assemble, plan
from hub_core.errors import FormatError, IntegrityError, RecipeError, listed
from hub_core.evaluate import Predictor
from hub_core.manifest import Manifest
from hub_core.model import TaskModel, tensors_of
from hub_core.part import Context
from hub_core.proof import ELSEWHERE, PROBE, Check, compare, remember
from hub_core.readers import Given
from hub_core.recorded import identity_of, recipe_of, tasks_of
from hub_core.remote.found import find
from hub_core.sparse import unpacked
from hub_core.state import join, load_tensors
from hub_core.training import fill


def load(
    place: str | Path,
    *,
    backbone: str = "",
    device: str = "cpu",
    check: bool = True,
    given: Given | None = None,
) -> Predictor:
    """Load an artifact, or what another library published with a head.

    Args:
        place: A folder, or ``owner/name`` or ``owner/name@revision`` on the Hub, which is pulled.
        backbone: Where its backbone is, if it is not where this machine last used it.
        device: Where the model goes.
        check: Compare every file with its sha256 first.
        given: For what is no artifact of ours: labels and a head, where it has none.

    Raises:
        FormatError: The place is neither an artifact nor anything else that can be read.
        IntegrityError: A file or the set of tensors is not what was saved.
        BaseMismatchError: The backbone that was found is another one.
        UnknownMethodError: A plugin that it needs is not installed.
        RemoteError: It is on the Hub and cannot be pulled.
    """
    found = find(place)
    if not found.ours:
        return _of_others(found.folder, backbone, device, given or Given())
    folder = found.folder
    content = manifest.read(folder)
    if given is not None and (given.labels or given.head):
        raise RecipeError(
            f"{place} is an artifact, which has its own head and labels",
            hint="leave --labels and --head-file out",
        )
    if check:
        manifest.check_files(folder, content)
    tasks = tasks_of(content)
    built = replay(folder, content, place=backbone, device=torch.device(device))
    return Predictor(built.model, tasks, content, folder)


def _of_others(folder: Path, backbone: str, device: str, given: Given) -> Predictor:
    """Load what another library wrote."""
    files = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    if not files.keys() & readers.CONFIGURATIONS:
        manifest.read(folder)  # nothing of anybody's: told as what it is not
    reader, _ = readers.reader_for(files)
    opened = reader.open(folder, replace(given, backbone=backbone or given.backbone))
    return Predictor(opened.model.to(device), opened.tasks)


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


def states_of(folder: Path, content: Manifest) -> list[Any]:
    """Return the state of every part of an artifact, in order."""
    stored = load_tensors(folder / STATE) if STATE in content.files else {}
    parts = [m for m in content.methods if m.kind in ("strategy", "compressor")]
    return [join(entry.state, stored) for entry in parts]


def verify(place: str | Path, *, backbone: str = "") -> Check:
    """Check an artifact's files, load it, and compare its outputs with the saved ones.

    Raises:
        IntegrityError: Something is not what was saved; also what ``load`` raises.
        FormatError: It is no artifact of ours, so nothing was saved with it to compare.
    """
    return check_probe(load(place, backbone=backbone), place)


def check_probe(predictor: Predictor, place: str | Path) -> Check:
    """Compare a loaded artifact's outputs with the saved ones.

    Raises:
        IntegrityError: They differ by more than its proof allows.
        FormatError: Nothing was saved to compare with.
    """
    if predictor.manifest is None:
        raise FormatError(
            f"{place} was not saved by hub-core, so it carries no outputs to compare with",
            hint="measure it on labelled data: hub evaluate",
        )
    check = compare(predictor)
    proof = predictor.manifest.proof
    limit = ELSEWHERE if proof is None else proof.elsewhere
    if not check.difference <= limit or not check.same:
        raise IntegrityError(
            f"{place}: its outputs differ from the saved ones by {check.difference:.1e} of their "
            f"scale, accepted is {limit:.0e}"
            + ("" if check.same else ", and other labels are predicted"),
            hint="do not trust it before its author has explained the difference",
        )
    assert predictor.folder is not None
    remember(predictor.folder, check.difference)
    return check


def read_tensors(folder: Path, content: Manifest) -> dict[str, Tensor]:
    """Return all model tensors under our names."""
    skipped = {STATE, PROBE}
    tensors: dict[str, Tensor] = {}
    for name in content.files:
        if not name.endswith(".safetensors") or name in skipped:
            continue
        found = unpacked(load_tensors(folder / name))
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
