"""What a recipe would do, found without reading a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_core import artifact, tracking
from hub_core.build import assemble, plan
from hub_core.catalog import installed
from hub_core.jobs import calibration, recipe_of, training_rows
from hub_core.origin import Origin
from hub_core.part import Context
from hub_core.recipe import Recipe
from hub_core.start import start_from
from hub_core.tasks import read_data
from hub_core.timeline import Plan
from hub_core.training import Loop


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
        start: What it starts from and how, if it starts from an artifact.
    """

    parts: Sequence[str]
    stages: Sequence[tuple[str, int, int]]
    trained: int
    total: int
    steps: int
    files: Sequence[str]
    splits: Mapping[str, Mapping[str, int]]
    start: Mapping[str, Any] | None = None


def dry_run(
    recipe: Recipe | Mapping[str, Any] | str | Path | None = None,
    data: Any = None,
    *,
    start: str | Path | Origin | None = None,
    new_head: bool = False,
    add_labels: bool = False,
    catalog: Any = None,
) -> Sketch:
    """Return what ``train`` would do, reading data but no weights of the backbone.

    Raises:
        HubError: Whatever ``train`` would refuse before it reads weights.
    """
    catalog = catalog or installed()
    begun = start_from(start, recipe, catalog, new_head=new_head, add_labels=add_labels)
    recipe = recipe_of(recipe) if begun is None else begun.recipe
    tracking.check(recipe.training.tracker)
    ctx = Context(empty=True)
    if begun is None:
        blueprint = plan(recipe, catalog, ctx)
        found = read_data(blueprint, data)
    else:
        blueprint, found, ctx = begun.plan(ctx, data)
    tasks = [task_data.task for task_data in found.values()]
    built = (assemble if begun is None else begun.assemble)(blueprint, tasks, ctx)
    rows = training_rows(built, found, lambda *_: None)
    if begun is not None:
        begun.fill_heads(built)
    for part_ctx in built.contexts:
        part_ctx.batches = lambda count: calibration(built, rows, count)
        part_ctx.validation = part_ctx.batches
    built.observe()
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
        start=None if begun is None else begun.summary(found),
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
