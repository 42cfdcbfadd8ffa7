"""Whole jobs: from a recipe and data to a trained, measured, saved and proven model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hub_core import artifact, data, evaluate
from hub_core.build import Blueprint, Built, assemble, plan
from hub_core.catalog import Catalog, installed
from hub_core.data import TaskData
from hub_core.declare import Column, Task
from hub_core.errors import ArtifactError, DataError, TrainingError
from hub_core.evaluate import Predictor, choose_threads
from hub_core.manifest import Manifest, TaskEntry
from hub_core.model import Batch, Example, Row
from hub_core.part import Context
from hub_core.recipe import Recipe, TaskRecipe, parse, read
from hub_core.runs import Run
from hub_core.timeline import Plan
from hub_core.training import Loop, Metrics, choose_device

log = logging.getLogger("hub_core")

Report = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What ``train`` returns.

    Args:
        predictor: The served model.
        metrics: Task to split to metrics, measured on the served model in float32.
        history: One entry for each epoch.
        manifest: The artifact's manifest, or None if nothing was saved.
        seconds: How long training took, without evaluation of the finished model.
    """

    predictor: Predictor
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    history: Sequence[Mapping[str, Any]]
    manifest: Manifest | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a recipe would do, found without reading a weight.

    Args:
        parts: Every method in order, as ``kind name``.
        stages: Stage name, epochs and how many parameters train in it at most.
        trained: Parameters that are ever chosen.
        total: Parameters of the model.
        steps: Optimizer steps.
        files: The names of the files that the artifact would hold.
        splits: Task to split to number of examples.
    """

    parts: Sequence[str]
    stages: Sequence[tuple[str, int, int]]
    trained: int
    total: int
    steps: int
    files: Sequence[str]
    splits: Mapping[str, Mapping[str, int]]


def train(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    data: Any = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    report: Report = lambda *_: None,
    catalog: Catalog | None = None,
    prove: bool = True,
) -> Result:
    """Train what a recipe describes.

    Args:
        recipe: A ``Recipe``, a mapping, or the path of a TOML file.
        data: For a recipe with one task: file names, a ``datasets.Dataset``, a DataFrame or a list
            of dicts; or a mapping of split to one of these, or of task to either.
        out: The folder of the artifact; nothing is saved without it. Checkpoints and the log go
            to ``OUT.run``.
        overwrite: Replace an artifact that is in ``out``.
        resume: Go on from the newest checkpoint in ``OUT.run``.
        report: Told what happens: an event's name and its figures.
        catalog: The plugins; those of this environment by default.
        prove: Load what was saved in a fresh process and compare.

    Raises:
        HubError: Whatever is wrong with recipe, data, parts, training or the folder.
    """
    recipe = _recipe(recipe)
    target = None if out is None else Path(out)
    if target is not None:
        _check_target(target, overwrite)
    catalog = catalog or installed()
    choose_threads(recipe.training.threads)
    ctx = Context(device=choose_device(recipe.training.device), load=_load)
    blueprint = plan(recipe, catalog, ctx)
    found = read_data(blueprint, data)
    _tell_data(found, report)
    work = None if target is None else Run.open(target, recipe, resume=resume)
    try:
        return _train(blueprint, found, ctx, work, target, report, prove)
    finally:
        if work is not None:
            work.close()


def _train(
    blueprint: Blueprint,
    found: Mapping[str, TaskData],
    ctx: Context,
    work: Run | None,
    target: Path | None,
    report: Report,
    prove: bool,
) -> Result:
    started = time.perf_counter()
    saved = None if work is None else work.checkpoint()
    tasks = [task_data.task for task_data in found.values()]
    built = assemble(blueprint, tasks, ctx, None if saved is None else saved["parts"])
    rows = _training_rows(built, found, report)
    for part_ctx in built.contexts:
        part_ctx.batches = lambda n: calibration(built, rows, n)
    loop = _loop(built, found, rows, blueprint.recipe, work, report)
    if saved is not None:
        loop.load_state_dict(saved)
        assert work is not None
        work.rewrite_log(loop.progress.history)
        report("resume", {"step": loop.progress.total, "steps": loop.plan.steps})
    _tell_plan(built, loop.plan, report)
    progress = loop.run()
    seconds = time.perf_counter() - started + (0.0 if saved is None else saved["seconds"])
    trained = artifact.finish(blueprint, built, tasks, loop.plan.ever)
    metrics = {
        name: {
            split: evaluate.measure(built.model, name, examples)
            for split, examples in task_data.splits.items()
            if split != "train" and examples
        }
        for name, task_data in found.items()
    }
    report("measured", {"metrics": metrics, "seconds": seconds})
    predictor = Predictor(built.model, tasks)
    content = None
    if target is not None:
        record = artifact.Record(_entries(found, metrics), seconds)
        probes = {name: _probe(task_data) for name, task_data in found.items()}
        report("saving", {"folder": str(target), "prove": prove})
        content = artifact.save(trained, target, record, probes, prove=prove)
        predictor = Predictor(built.model, tasks, content, target)
        report("saved", {"folder": str(target), "manifest": content})
    return Result(predictor, metrics, progress.history, content, seconds)


def _recipe(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, str | Path):
        return parse(read(recipe), source=str(recipe))
    return parse(recipe)


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / "hub.json").is_file()):
        raise ArtifactError(
            f"{target} exists and is no artifact", hint="choose another folder for --out"
        )
    if (target / "hub.json").is_file() and not overwrite:
        raise ArtifactError(
            f"{target} holds an artifact already",
            hint="choose another folder, or replace it with --overwrite",
        )


def _load(reference: str) -> Predictor:
    return artifact.load(reference)


# -- data


def read_data(blueprint: Blueprint, given: Any = None) -> dict[str, TaskData]:
    """Read, check and split the data of every task.

    Raises:
        DataError: Whatever is wrong with them.
    """
    tasks = blueprint.recipe.tasks
    sources = _by_task(list(tasks), given)
    return {name: _task_data(blueprint, name, tasks[name], sources.get(name)) for name in tasks}


def _by_task(names: Sequence[str], given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and set(given) <= set(names):
        return given
    if len(names) > 1:
        raise DataError(
            "the recipe has several tasks", hint=f"give data = {{task: …}} for {', '.join(names)}"
        )
    return {names[0]: given}


def _sources(task: TaskRecipe, given: Any) -> dict[str, Any]:
    """Return split to source, or to the share of the training data that becomes it."""
    sources = {"train": task.data, "validation": task.validation, "test": task.test}
    if isinstance(given, Mapping):
        missing = [split for split in ("validation", "test") if split not in given]
        return {**dict(given), **dict.fromkeys(missing, 0)}
    return sources if given is None else sources | {"train": given}


def _task_data(blueprint: Blueprint, name: str, task: TaskRecipe, given: Any) -> TaskData:
    sources = _sources(task, given)
    if sources.get("train") is None:
        raise DataError(
            f"task {name} has no training data", hint=f"give --data, or tasks.{name}.data"
        )
    head = blueprint.heads[name]
    wanted: Sequence[Column] = head.provided.factory().columns
    table = data.read_table(sources.pop("train"))
    names = data.columns_of(table, wanted, task.columns)
    examples = data.examples_of(table, wanted, names, task.labels)
    labels = tuple(task.labels or data.labels_in(examples, wanted))
    found = Task(name, labels, names)
    head.provided.factory().plan(head.options, found)
    generator = torch.Generator().manual_seed(blueprint.recipe.training.seed)
    stratum = next((c.role for c in wanted if c.kind == "label"), "")
    splits: dict[str, list[Example]] = {"train": examples, "validation": [], "test": []}
    whole = len(examples)
    for split in ("test", "validation"):
        source = sources.get(split) or 0
        if not isinstance(source, int | float):
            other = data.read_table(source)
            own = data.columns_of(other, wanted, task.columns)
            splits[split] = data.examples_of(other, wanted, own, labels or None)
        elif source:
            share = source * whole / len(splits["train"])
            splits["train"], splits[split] = data.split_off(
                splits["train"], share, stratum, generator
            )
            if not splits[split]:
                raise DataError(
                    f"task {name}: {whole} examples are too few to split off {source:.0%}",
                    hint=f"give more data, or tasks.{name}.{split} = 0",
                )
    return TaskData(found, splits)


def _tell_data(found: Mapping[str, TaskData], report: Report) -> None:
    for name, task_data in found.items():
        sizes = {split: len(examples) for split, examples in task_data.splits.items()}
        report("data", {"task": name, "labels": list(task_data.task.labels), **sizes})


def _training_rows(
    built: Built, found: Mapping[str, TaskData], report: Report
) -> dict[str, list[Row]]:
    rows = {}
    for name, task_data in found.items():
        examples: Sequence[Example] = task_data.splits["train"]
        for part, ctx in zip(built.parts, built.contexts, strict=True):
            examples = part.examples(examples, task_data.task, ctx)
        if not examples:
            raise DataError(f"task {name}: there are no training examples left")
        head = built.model.head(name)
        head.observe(examples)
        rows[name] = head.features(examples, built.model.backbone)
        cut = sum(row.truncated for row in rows[name])
        report("rows", {"task": name, "rows": len(rows[name]), "cut": cut})
        if cut:
            log.warning("task %s: %d of %d training texts (%.1f %%) are longer than the model "
                        "reads, and were cut", name, cut, len(rows[name]),
                        100 * cut / len(rows[name]))  # fmt: skip
    return rows


def calibration(built: Built, rows: Mapping[str, Sequence[Row]], most: int) -> list[Batch]:
    """Return up to ``most`` training batches, of all tasks in turn, in a fixed order."""
    found: list[Batch] = []
    for name, own in rows.items():
        head = built.model.head(name)
        device = next(built.model.parameters()).device
        generator = torch.Generator().manual_seed(0)
        for part in data.batches_of(own, 1024, 32, generator)[: -(-most // len(rows))]:
            found.append(head.collate(part, built.model.backbone).to(device))
    return found[:most]


# -- the loop


def _loop(
    built: Built,
    found: Mapping[str, TaskData],
    rows: Mapping[str, Sequence[Row]],
    recipe: Recipe,
    work: Run | None,
    report: Report,
) -> Loop:
    watched = {n: d.splits["validation"] for n, d in found.items() if d.splits["validation"]}
    features = {
        name: built.model.head(name).features(examples, built.model.backbone)
        for name, examples in watched.items()
    }

    def validate() -> Metrics:
        metrics = {}
        for name, examples in watched.items():
            head = built.model.head(name)
            kept = evaluate.run(built.model, name, features[name])
            metrics[name] = head.metrics(head.predict(kept, features[name]), examples)
        return metrics

    def score(metrics: Metrics) -> float:
        return sum(_watched(built, n, m, recipe) for n, m in metrics.items()) / len(metrics)

    def tell(event: str, figures: Mapping[str, Any]) -> None:
        if work is not None and event == "epoch":
            work.log(figures)
        report(event, figures)

    return Loop(
        built,
        rows,
        recipe.training,
        validate=validate if watched else None,
        score=score,
        report=tell,
        checkpoint=None if work is None else work.save,
    )


def _watched(built: Built, task: str, metrics: Mapping[str, float], recipe: Recipe) -> float:
    name = recipe.training.metric or built.model.head(task).metric
    if name not in metrics:
        raise TrainingError(
            f"task {task} has no metric '{name}'", hint=f"it has {', '.join(metrics)}"
        )
    return metrics[name]


def _tell_plan(built: Built, plan: Plan, report: Report) -> None:
    total = sum(parameter.numel() for parameter in built.names)
    trained = sum(parameter.numel() for parameter in plan.ever)
    report("plan", {"steps": plan.steps, "trained": trained, "total": total})


def _entries(found: Mapping[str, TaskData], metrics: Any) -> dict[str, TaskEntry]:
    return {
        name: TaskEntry(
            labels=list(task_data.task.labels),
            columns=dict(task_data.task.columns),
            metrics=metrics[name],
            examples={split: len(examples) for split, examples in task_data.splits.items()},
            data={s: task_data.fingerprint(s) for s, found in task_data.splits.items() if found},
        )
        for name, task_data in found.items()
    }


def _probe(task_data: TaskData) -> list[Example]:
    """Return a few examples without their targets: inputs, and nothing to learn from."""
    for split in ("test", "validation", "train"):
        if examples := task_data.splits[split]:
            step = max(1, len(examples) // artifact.PROBE_ROWS)
            return list(examples[::step][: artifact.PROBE_ROWS])
    raise AssertionError("a task has training examples")


# -- dry run


def dry_run(
    recipe: Recipe | Mapping[str, Any] | str | Path, data: Any = None, *, catalog: Any = None
) -> Sketch:
    """Return what ``train`` would do, reading data but no weights.

    Raises:
        HubError: Whatever ``train`` would refuse before it reads weights.
    """
    recipe = _recipe(recipe)
    ctx = Context(empty=True, load=_load)
    blueprint = plan(recipe, catalog or installed(), ctx)
    found = read_data(blueprint, data)
    tasks = [task_data.task for task_data in found.values()]
    built = assemble(blueprint, tasks, ctx)
    rows = _training_rows(built, found, lambda *_: None)
    loop = Loop(built, rows, recipe.training)
    planned = loop.plan
    trained = artifact.finish(blueprint, built, tasks, planned.ever)
    return Sketch(
        parts=[method.label for method in blueprint.methods()],
        stages=_stage_counts(planned),
        trained=trained.trained,
        total=sum(parameter.numel() for parameter in built.names),
        steps=planned.steps,
        files=artifact.file_names(trained),
        splits={n: {s: len(e) for s, e in d.splits.items()} for n, d in found.items()},
    )


def _stage_counts(plan: Plan) -> list[tuple[str, int, int]]:
    counts: dict[int, int] = {}
    for step, chosen in plan.changes.items():
        stage = plan.moment(step).stage
        counts[stage] = max(counts.get(stage, 0), sum(p.numel() for p in chosen))
    result, last = [], 0
    for number, (own, epochs) in enumerate(zip(plan.stages, plan.epochs, strict=True)):
        last = counts.get(number, last)
        result.append((own.name, epochs, last))
    return result
