"""A trained artifact made smaller by compressors, without training it further.

The artifact's own strategies and compressors are replayed, the new ones follow, and what comes out
holds all of the model, so that no backbone is needed to load it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from hub_core import artifact, evaluate
from hub_core.build import Blueprint, Built
from hub_core.catalog import Catalog, installed
from hub_core.data import TaskData
from hub_core.declare import Task
from hub_core.devices import choose_device, choose_threads
from hub_core.effects import Meter
from hub_core.errors import DataError, IncompatibleError, RecipeError
from hub_core.jobs import (
    Report,
    Result,
    calibration,
    check_target,
    entries,
    probe,
    room_beside,
    tell_data,
    training_rows,
    validation_of,
    watched_rows,
)
from hub_core.loading import load
from hub_core.manifest import TaskEntry
from hub_core.model import Batch, Example, Row
from hub_core.origin import Origin
from hub_core.part import Context
from hub_core.proof import PROBE_JSON
from hub_core.recorded import tasks_of
from hub_core.start import Start


@dataclass(frozen=True, slots=True)
class Material:
    """The data of a compression, and what was made of them; all empty where there are none."""

    found: Mapping[str, TaskData] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    watched: Mapping[str, Sequence[Row]] = field(default_factory=dict)


def compress(
    start: str | Path | Origin,
    recipe: Mapping[str, Any],
    data: Any = None,
    *,
    out: str | Path,
    overwrite: bool = False,
    report: Report = lambda *_: None,
    catalog: Catalog | None = None,
    prove: bool = True,
) -> Result:
    """Apply compressors to a trained artifact.

    Args:
        start: The artifact.
        recipe: What is laid over its recipe: ``compressors``, which follow its own, and perhaps
            ``tasks`` with data and ``training`` with ``threads`` or ``device``.
        data: As for ``train``: what is calibrated on, and what the effect is measured on.
        out: The folder of the new artifact.
        overwrite: Replace an artifact that is in ``out``.
        report: Told what happens.
        catalog: The plugins; those of this environment by default.
        prove: Load what was saved in a fresh process and compare.

    Raises:
        RecipeError: No compressor is named.
        DataError: A compressor needs data, and there are none.
        IncompatibleError: A compressor works only in training, or does not fit.
        HubError: Whatever else is wrong.
    """
    catalog, target = catalog or installed(), Path(out)
    check_target(target, overwrite)
    origin = start if isinstance(start, Origin) else Origin.open(start)
    begun = Start(origin, _recipe(origin, recipe, catalog), catalog)
    settings = begun.recipe.training
    choose_threads(settings.threads)
    ctx = Context(device=choose_device(settings.device), load=load)
    started = time.perf_counter()
    blueprint, found, ctx = _planned(begun, ctx, data, target)
    _refuse_training(blueprint, len(origin.recipe.compressors))
    tell_data(found, report)
    tasks = [d.task for d in found.values()] or tasks_of(origin.content)
    built = begun.assemble(blueprint, tasks, ctx)
    material = _material(built, found, report)
    begun.fill_heads(built)
    _give(built, material)
    built.observe()
    measure = validation_of(built, found, material.watched)
    meter = Meter(built.model, material.watched or material.rows, measure)
    finished = artifact.finish(blueprint, built, tasks, frozenset(), meter, alone=True)
    seconds = time.perf_counter() - started
    return _saved(finished, begun, material, target, seconds, report, prove=prove)


def _recipe(origin: Origin, given: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Return the artifact's recipe with the new compressors after its own."""
    new = given.get("compressors")
    if not new:
        raise RecipeError(
            "no compressor is named", hint="'hub methods --kind compressor' lists them"
        )
    own = origin.recipe.model_dump(mode="json")["compressors"]
    return origin.laid_over({**given, "compressors": [*own, *new]}, catalog)


def _planned(
    begun: Start, ctx: Context, data: Any, target: Path
) -> tuple[Blueprint, Mapping[str, TaskData], Context]:
    given = data is not None or any(task.data for task in begun.recipe.tasks.values())
    if given:
        return begun.plan(ctx, data, room_beside(target))
    blueprint, ctx = begun.plan_without_data(ctx)
    return blueprint, {}, ctx


def _refuse_training(blueprint: Blueprint, known: int) -> None:
    """Refuse new compressors that take effect in training alone."""
    compressors = [p.provided for p in blueprint.parts if p.provided.kind == "compressor"]
    for provided in compressors[known:]:
        if provided.factory().needs_training:
            name = provided.method.name
            raise IncompatibleError(
                f"{name} takes effect while a model trains, so it cannot be applied afterwards",
                hint=f"train further with it: hub train --from … --compress {name}",
            )


def _material(built: Built, found: Mapping[str, TaskData], report: Report) -> Material:
    if not found:
        return Material()
    return Material(found, training_rows(built, found, report), watched_rows(built, found))


def _give(built: Built, material: Material) -> None:
    """Let the parts have batches, or tell that there are none when one asks."""

    def nothing(_: int) -> NoReturn:
        raise DataError("a compressor needs data to calibrate on, and none are given",
                        hint="name a file with --data, such as the training data")  # fmt: skip

    def batches(count: int) -> list[Batch]:
        return calibration(built, material.rows, count) if material.rows else nothing(count)

    for ctx in built.contexts:
        ctx.batches = batches
        ctx.validation = lambda count: calibration(built, material.watched, count)


def _saved(
    finished: artifact.Trained,
    begun: Start,
    material: Material,
    target: Path,
    seconds: float,
    report: Report,
    *,
    prove: bool,
) -> Result:
    """Measure what came out on held-out data, and save it."""
    model, origin, found = finished.built.model, begun.origin, material.found
    metrics = {
        name: evaluate.held_out(
            model, name, task_data.splits, {"validation": material.watched.get(name, ())}
        )[0]
        for name, task_data in found.items()
    }
    report("measured", {"metrics": metrics, "seconds": seconds})
    step = origin.step(found) | {"step": "compress"}
    told = entries(found, metrics, model) if found else _unmeasured(origin, model)
    record = artifact.Record(told, seconds, [*origin.content.lineage, step])
    probes = {n: probe(d) for n, d in found.items()} or _own_probes(origin, finished.tasks)
    report("saving", {"folder": str(target), "prove": prove})
    content = artifact.save(finished, target, record, probes, prove=prove)
    report("saved", {"folder": str(target), "manifest": content})
    predictor = evaluate.Predictor(model, finished.tasks, content, target)
    return Result(predictor, metrics, [], content, seconds)


def _unmeasured(origin: Origin, model: Any) -> dict[str, TaskEntry]:
    """Return the tasks without metrics: those of the artifact are not those of what came out."""
    return {
        name: TaskEntry(labels=entry.labels, columns=entry.columns, facts=model.head(name).facts())
        for name, entry in origin.content.tasks.items()
    }


def _own_probes(origin: Origin, tasks: Sequence[Task]) -> dict[str, list[Example]]:
    """Return the inputs that the artifact keeps of each task."""
    kept = json.loads((origin.folder / PROBE_JSON).read_text("utf-8"))
    return {task.name: kept[task.name]["inputs"] for task in tasks}
