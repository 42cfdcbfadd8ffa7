"""One task of an artifact with several, as an artifact of its own.

What all tasks share is copied byte for byte; the other tasks' heads, with what parts have put
around them, are left out. The parts stay in the recipe, because replaying them is how the model is
built; a part that cannot be trained with one task is only refused where it would be trained again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_core import manifest
from hub_core.build import Built
from hub_core.errors import ArtifactError, near
from hub_core.evaluate import Predictor
from hub_core.folders import new_folder
from hub_core.identity import sha256_of
from hub_core.loading import check_probe, replay
from hub_core.manifest import EffectEntry, Manifest, MethodEntry
from hub_core.proof import PROBE, PROBE_JSON, remember, sealed, write_probe
from hub_core.recorded import tasks_of
from hub_core.remote.found import find


def extract(
    place: str | Path,
    task: str,
    out: str | Path,
    *,
    backbone: str = "",
    name: str = "",
    prove: bool = True,
) -> Manifest:
    """Write an artifact with one task of a trained one.

    Args:
        place: A folder, or ``owner/name`` or ``owner/name@revision`` on the Hub, which is pulled.
        task: The task.
        out: Where it goes; a folder that is not there yet.
        backbone: Where the backbone is, if it is not where this machine last used it.
        name: What the artifact is called in messages; default: ``place``.
        prove: Load it in a fresh process, and compare with what the whole artifact gives here.

    Raises:
        ArtifactError: There is no such task, it is the only one, or ``out`` exists.
        IntegrityError: The artifact is not what was saved, or the task alone gives other outputs.
    """
    target = Path(out)
    if target.exists():
        raise ArtifactError(f"{target} exists already", hint="choose another folder")
    folder = find(place).folder
    content = manifest.read(folder)
    _check_task(name or place, content, task)
    manifest.check_files(folder, content)
    built = replay(folder, content, place=backbone)
    check_probe(Predictor(built.model, tasks_of(content), content, folder), name or place)
    with new_folder(target) as partial:
        for file in content.files:
            if file not in (*_heads(content, task), PROBE, PROBE_JSON):
                shutil.copyfile(folder / file, partial / file)
        write_probe(built.model, partial, {task: _inputs(folder, task)})
        alone = sealed(partial, _alone(folder, content, task, built), backbone, prove=prove)
    if alone.proof is not None:
        remember(target, alone.proof.difference)
    return alone


def _check_task(place: str | Path, content: Manifest, task: str) -> None:
    known = list(content.tasks)
    if task not in known:
        raise ArtifactError(
            f"{place} has no task '{task}'",
            hint=near(task, known) or f"it has {', '.join(known)}",
        )
    if len(known) == 1:
        raise ArtifactError(
            f"{place} has only the task '{task}'", hint="there is nothing to take out: use it"
        )


def _heads(content: Manifest, task: str) -> list[str]:
    """Return the files that hold the heads of the other tasks."""
    return [f"head.{name}.safetensors" for name in content.tasks if name != task]


def _inputs(folder: Path, task: str) -> list[dict[str, Any]]:
    """Return the inputs of a task's probe, which ``check_probe`` has read already."""
    probe = json.loads((folder / PROBE_JSON).read_text("utf-8"))[task]
    return list(probe["inputs"])


def _alone(folder: Path, content: Manifest, task: str, built: Built) -> Manifest:
    """Return what ``hub.json`` says of one task, its files and its proof still missing."""
    others = tuple(f"heads.{name}." for name in content.tasks if name != task)
    gone = sum(p.numel() for p, name in built.names.items() if name.startswith(others))
    before = {"hub.json": sha256_of(folder / manifest.NAME), "tasks": list(content.tasks)}
    return content.model_copy(
        update={
            "recipe": {**content.recipe, "tasks": {task: content.recipe["tasks"][task]}},
            "methods": _methods(content, task),
            "tasks": {task: content.tasks[task]},
            "tensors": [name for name in content.tensors if not name.startswith(others)],
            "parameters": {k: max(0, n - gone) for k, n in content.parameters.items()},
            "effects": [_effect_on(entry, task) for entry in content.effects],
            "history": [_of_task(entry, task) for entry in content.history],
            "lineage": [*content.lineage, {"step": "extract", "task": task, **before}],
        }
    )


def _methods(content: Manifest, task: str) -> list[MethodEntry]:
    """Return the methods without the heads of other tasks; heads come in the tasks' order."""
    heads = [method for method in content.methods if method.kind == "head"]
    own = heads[list(content.tasks).index(task)]
    return [method for method in content.methods if method.kind != "head" or method is own]


def _effect_on(entry: EffectEntry, task: str) -> EffectEntry:
    """Return what a compressor did, without the metrics of other tasks."""
    own = {name: found for name, found in entry.metrics.items() if name == task}
    return entry.model_copy(update={"metrics": own})


def _of_task(entry: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return an epoch of the history without the validation of other tasks."""
    validation = entry.get("validation")
    if not isinstance(validation, Mapping):
        return dict(entry)
    return {**entry, "validation": {task: validation.get(task, {})}}
