"""Whole jobs: from a recipe and data to a trained, measured, saved and proven model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hub_core import artifact, data, evaluate, loading, predictions, tracking
from hub_core.balance import counts_of, rare_labels
from hub_core.build import Blueprint, Built, assemble, plan
from hub_core.catalog import Catalog, installed
from hub_core.data import TaskData
from hub_core.devices import choose_device, choose_threads
from hub_core.effects import Meter
from hub_core.errors import ArtifactError, DataError, RecipeError, TrainingError
from hub_core.evaluate import Predictor
from hub_core.interrupts import deferred
from hub_core.manifest import Manifest, TaskEntry
from hub_core.model import Batch, Example, Head, Row, TaskModel
from hub_core.origin import Origin
from hub_core.part import Context
from hub_core.predictions import Judged
from hub_core.proof import PROBE_ROWS
from hub_core.recipe import Recipe, parse, read
from hub_core.rows import rows_of
from hub_core.runs import Run
from hub_core.start import Start, start_from
from hub_core.tasks import read_data
from hub_core.timeline import Plan
from hub_core.tracking import tracked
from hub_core.training import Loop, Metrics, Progress

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


def train(
    recipe: Recipe | Mapping[str, Any] | str | Path | None = None,
    data: Any = None,
    *,
    start: str | Path | Origin | None = None,
    new_head: bool = False,
    add_labels: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    report: Report = lambda *_: None,
    catalog: Catalog | None = None,
    prove: bool = True,
) -> Result:
    """Train what a recipe describes.

    Args:
        recipe: A ``Recipe``, a mapping, or the path of a TOML file; with ``start``, what differs
            from the artifact's recipe, or nothing.
        data: For a recipe with one task: file names, a ``datasets.Dataset``, a DataFrame or a list
            of dicts; or a mapping of split to one of these, or of task to either.
        start: The folder of a trained artifact to start from.
        new_head: Start with new heads, for other tasks or labels.
        add_labels: Add labels of the data that the artifact does not have to its own.
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
    catalog = catalog or installed()
    begun = start_from(start, recipe, catalog, new_head=new_head, add_labels=add_labels)
    recipe = recipe_of(recipe) if begun is None else begun.recipe
    target = None if out is None else Path(out)
    if target is not None:
        check_target(target, overwrite)
    tracking.check(recipe.training.tracker, saved=target is not None)
    choose_threads(recipe.training.threads)
    ctx = Context(
        device=choose_device(recipe.training.device), load=_load, metric=recipe.training.metric
    )
    if begun is None:
        blueprint = plan(recipe, catalog, ctx)
        found = read_data(blueprint, data, room_beside(target))
    else:
        blueprint, found, ctx = begun.plan(ctx, data, room_beside(target))
    tell_data(found, report)
    key = None if begun is None else begun.origin.key()
    work = None
    if target is not None:
        kept = {name: task_data.key() for name, task_data in found.items()}
        work = Run.open(target, recipe, resume=resume, start=key, data=kept)
    try:
        with tracked(recipe, target, report) as told:
            return _train(blueprint, found, ctx, begun, work, target, told, prove)
    finally:
        if work is not None:
            work.close()


def _train(
    blueprint: Blueprint,
    found: Mapping[str, TaskData],
    ctx: Context,
    begun: Start | None,
    work: Run | None,
    target: Path | None,
    report: Report,
    prove: bool,
) -> Result:
    started = time.perf_counter()
    saved = None if work is None else work.checkpoint()
    tasks = [task_data.task for task_data in found.values()]
    build = assemble if begun is None else begun.assemble
    built = build(blueprint, tasks, ctx, None if saved is None else saved["parts"])
    rows = training_rows(built, found, report)
    if begun is not None:
        begun.fill_heads(built)
        report("start", {"from": begun.origin.name, "way": begun.way})
    watched = watched_rows(built, found)
    for part_ctx in built.contexts:
        part_ctx.batches = lambda n: calibration(built, rows, n)
        part_ctx.validation = lambda n: calibration(built, watched, n)
    built.observe()
    loop = _loop(built, found, rows, watched, blueprint.recipe, work, report)
    if saved is not None:
        assert work is not None
        work.go_on(loop, saved)
        report("resume", {"step": loop.progress.total, "steps": loop.plan.steps})
    _tell_plan(built, loop.plan, report)
    with deferred() if work is not None else nullcontext(loop.interrupted) as loop.interrupted:
        progress = loop.run()
    seconds = time.perf_counter() - started + (0.0 if saved is None else saved["seconds"])
    meter = Meter(built.model, watched or rows, loop.validate)
    trained = artifact.finish(blueprint, built, tasks, loop.plan.ever, meter)
    metrics, judged = {}, {}
    for name, task_data in found.items():
        metrics[name], judged[name] = evaluate.held_out(
            built.model, name, task_data.splits, {"validation": loop.watched.get(name, ())}
        )
    report("measured", {"metrics": metrics, "seconds": seconds})
    predictor = Predictor(built.model, tasks)
    content = None
    if target is not None:
        lineage = () if begun is None else begun.lineage(found)
        told = entries(found, metrics, built.model)
        record = artifact.Record(told, seconds, lineage, _history(progress))
        probes = {name: probe(task_data) for name, task_data in found.items()}
        report("saving", {"folder": str(target), "prove": prove})
        assert work is not None
        predictions.forget(work.folder)
        content = artifact.save(trained, target, record, probes, prove=prove)
        _keep_predictions(work.folder, judged)
        predictor = Predictor(built.model, tasks, content, target)
        report("saved", {"folder": str(target), "manifest": content})
    return Result(predictor, metrics, progress.history, content, seconds)


def recipe_of(recipe: Recipe | Mapping[str, Any] | str | Path | None) -> Recipe:
    """Return a recipe from whatever ``train`` takes."""
    if recipe is None:
        raise RecipeError("there is no recipe", hint="give one, or an artifact to start from")
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, str | Path):
        return parse(read(recipe), source=str(recipe))
    return parse(recipe)


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse a folder that is something else, or an artifact that is not to be replaced."""
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


def room_beside(target: Path | None) -> Path | None:
    """Return the folder for data that do not fit into memory: near the artifact, not in /tmp."""
    if target is None:
        return None
    return next(folder for folder in target.absolute().parents if folder.is_dir())


def _load(reference: str) -> Predictor:
    return loading.load(reference)


def tell_data(found: Mapping[str, TaskData], report: Report) -> None:
    """Report the labels of every task and how many examples its splits have."""
    for name, task_data in found.items():
        sizes = {split: len(examples) for split, examples in task_data.splits.items()}
        report("data", {"task": name, "labels": list(task_data.task.labels), **sizes})


def training_rows(
    built: Built, found: Mapping[str, TaskData], report: Report
) -> dict[str, Sequence[Row]]:
    """Return the training rows of every task, after all parts have had their say."""
    rows: dict[str, Sequence[Row]] = {}
    for name, task_data in found.items():
        examples: Sequence[Example] = task_data.splits["train"]
        for part, ctx in zip(built.parts, built.contexts, strict=True):
            examples = part.examples(examples, task_data.task, ctx)
        if not examples:
            raise DataError(f"task {name}: there are no training examples left")
        head = built.model.head(name)
        _warn_of_rare_labels(head, task_data)
        head.observe(examples)
        rows[name] = rows_of(head, examples, built.model.backbone)
        cut = sum(row.truncated for row in rows[name])
        report("rows", {"task": name, "rows": len(rows[name]), "cut": cut})
        if cut:
            log.warning("task %s: %d of %d training texts (%.1f %%) are longer than the model "
                        "reads, and were cut", name, cut, len(rows[name]),
                        100 * cut / len(rows[name]))  # fmt: skip
    return rows


def _warn_of_rare_labels(head: Head, found: TaskData) -> None:
    counts = counts_of(found.splits["train"], head.columns, found.task)
    for sentence in rare_labels(counts, head.advice(counts)):
        log.warning("task %s: %s", found.task.name, sentence)


def calibration(built: Built, rows: Mapping[str, Sequence[Row]], most: int) -> list[Batch]:
    """Return up to ``most`` batches of rows, of all tasks in turn, in a fixed order."""
    found: list[Batch] = []
    for name, own in rows.items():
        head = built.model.head(name)
        device = next(built.model.parameters()).device
        generator = torch.Generator().manual_seed(0)
        for part in data.batches_of(own, 1024, 32, generator)[: -(-most // len(rows))]:
            found.append(head.collate(list(part), built.model.backbone).to(device))
    return found[:most]


# -- the loop


def watched_rows(built: Built, found: Mapping[str, TaskData]) -> dict[str, Sequence[Row]]:
    """Return the validation rows of every task that has some."""
    return {
        name: rows_of(built.model.head(name), examples, built.model.backbone)
        for name, task_data in found.items()
        if (examples := task_data.splits["validation"])
    }


def validation_of(
    built: Built, found: Mapping[str, TaskData], watched: Mapping[str, Sequence[Row]]
) -> Callable[[], Metrics] | None:
    """Return what measures all tasks on their validation rows, or None where there are none."""

    def validate() -> Metrics:
        metrics = {}
        for name, own in watched.items():
            predictions = evaluate.predict_rows(built.model, name, own)
            examples = found[name].splits["validation"]
            metrics[name] = built.model.head(name).metrics(predictions, examples)
        return metrics

    return validate if watched else None


def _loop(
    built: Built,
    found: Mapping[str, TaskData],
    rows: Mapping[str, Sequence[Row]],
    watched: Mapping[str, Sequence[Row]],
    recipe: Recipe,
    work: Run | None,
    report: Report,
) -> Loop:
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
        validate=validation_of(built, found, watched),
        score=score,
        report=tell,
        checkpoint=None if work is None else work.save,
        watched=watched,
    )


def _history(progress: Progress) -> list[dict[str, Any]]:
    """Return what was told of each epoch, and which one's model was kept."""
    kept = progress.best.epoch + 1
    return [e | {"best": True} if e["epoch"] == kept else e for e in progress.history]


def _keep_predictions(run: Path, judged: Mapping[str, Sequence[Judged]]) -> None:
    """Write what was predicted; the artifact is saved already, so a full disk is no failure."""
    try:
        for name, rows in judged.items():
            if rows:
                predictions.write(run, name, rows)
    except DataError as error:
        log.warning("%s", error.message)


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


def entries(found: Mapping[str, TaskData], metrics: Any, model: TaskModel) -> dict[str, TaskEntry]:
    """Return what ``hub.json`` says of every task."""
    return {
        name: TaskEntry(
            labels=list(task_data.task.labels),
            columns=dict(task_data.task.columns),
            metrics=metrics[name],
            examples={split: len(examples) for split, examples in task_data.splits.items()},
            data={s: task_data.fingerprint(s) for s, found in task_data.splits.items() if found},
            facts=model.head(name).facts(),
        )
        for name, task_data in found.items()
    }


def probe(task_data: TaskData) -> list[Example]:
    """Return a few examples without their targets: inputs, and nothing to learn from."""
    for split in ("test", "validation", "train"):
        if examples := task_data.splits[split]:
            step = max(1, len(examples) // PROBE_ROWS)
            return list(examples[::step][:PROBE_ROWS])
    raise AssertionError("a task has training examples")
