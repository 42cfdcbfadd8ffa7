"""Whether an artifact reaches the metrics that it claims, measured again on the same data.

The data are recognised by their fingerprint: those of a split itself, or those that a split was
taken from, which is then taken again. On other data nothing is claimed, so nothing can be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_core import catalog
from hub_core.build import plan
from hub_core.data import TaskData
from hub_core.declare import Task
from hub_core.errors import DataError, FormatError, IntegrityError, listed
from hub_core.evaluate import Predictor, measure
from hub_core.manifest import TaskEntry
from hub_core.model import Example
from hub_core.part import Context
from hub_core.recorded import identity_of, recipe_of
from hub_core.tasks import read_data

SPLITS = ("test", "validation", "train")
SLACK = 2e-3
"""How far a metric may be from its claim on another machine, as a share of max(1, its value)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A metric that is claimed, and what was measured."""

    metric: str
    claimed: float
    measured: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured beside what is claimed.

    Args:
        task: The task.
        split: The split of the claims.
        examples: How many were measured.
        same: Whether they are the examples that the claims were measured on.
        claims: One for each metric.
    """

    task: str
    split: str
    examples: int
    same: bool
    claims: tuple[Claim, ...]


def compare(
    predictor: Predictor, data: Any, *, task: str = "", columns: Mapping[str, str] | None = None
) -> Comparison:
    """Measure an artifact again and compare with what it claims.

    Args:
        predictor: The loaded artifact.
        data: What ``hub_core.data.read_table`` reads: a split, or what it was taken from.
        task: The task; may be left out if there is one.
        columns: Role to column name, where they differ from those in training.

    Raises:
        DataError: The data do not fit the task, or the artifact claims nothing.
        IntegrityError: It does not reach what it claims on these very data.
    """
    content = predictor.manifest
    if content is None:
        raise FormatError("only an artifact of hub-core says on which data it was measured",
                          hint="measure it on labelled data: hub evaluate")  # fmt: skip
    chosen = predictor.task(task)
    entry = content.tasks[chosen.name]
    examples = predictor.examples(data, chosen, columns or {})
    split = _split_of(entry, chosen, examples)
    if not split:
        split, examples = _taken_again(predictor, chosen, data, columns) or ("", examples)
    same, split = bool(split), split or _claimed(entry)
    found = measure(predictor.model, chosen.name, examples)
    claims = tuple(
        Claim(name, value, found[name])
        for name, value in entry.metrics.get(split, {}).items()
        if name in found
    )
    comparison = Comparison(chosen.name, split, len(examples), same, claims)
    if not claims:
        raise DataError(f"task {chosen.name}: the artifact claims no metrics to compare with",
                        hint="measure it: hub evaluate")  # fmt: skip
    if same:
        _require(comparison)
    return comparison


def _split_of(entry: TaskEntry, task: Task, examples: Sequence[Example]) -> str:
    """Return the split that has exactly these examples, or an empty text."""
    found = TaskData(task, {"given": examples}).fingerprint("given")
    return next((split for split in SPLITS if entry.data.get(split) == found), "")


def _claimed(entry: TaskEntry) -> str:
    return next((split for split in SPLITS if entry.metrics.get(split)), "")


def _taken_again(
    predictor: Predictor, task: Task, data: Any, columns: Mapping[str, str] | None
) -> tuple[str, Sequence[Example]] | None:
    """Split the data as training did; return a held-out split if it is the one that was claimed."""
    content, folder = predictor.manifest, predictor.folder
    assert content is not None
    assert folder is not None
    recipe = recipe_of(folder, content)
    own = recipe.tasks[task.name]
    if not all(isinstance(share, int | float) for share in (own.validation, own.test)):
        return None
    own = own.model_copy(update={"labels": list(task.labels) or None,
                                 "columns": {**own.columns, **(columns or {})}})  # fmt: skip
    recipe = recipe.model_copy(update={"tasks": {task.name: own}})
    whole = content.form == "whole"
    ctx = Context(restoring=True, empty=whole, folder=folder if whole else None,
                  identity=identity_of(content))  # fmt: skip
    try:
        read = read_data(plan(recipe, catalog.installed(), ctx), {task.name: data})[task.name]
    except DataError:  # such as too few examples: these are not what was split
        return None
    entry = content.tasks[task.name]
    for split in SPLITS[:2]:
        claimed = entry.metrics.get(split) and read.splits.get(split)
        if claimed and read.fingerprint(split) == entry.data.get(split):
            return split, read.splits[split]
    return None


def _require(comparison: Comparison) -> None:
    """Refuse metrics that are further from their claims than another machine explains."""
    wrong = [
        f"{claim.metric} is {claim.measured:.4f}, claimed is {claim.claimed:.4f}"
        for claim in comparison.claims
        if abs(claim.measured - claim.claimed)
        > max(SLACK, 2 / comparison.examples) * max(1.0, abs(claim.claimed))
    ]
    if wrong:
        raise IntegrityError(
            f"task {comparison.task} does not reach what it claims on the same "
            f"{comparison.examples:,} examples ({comparison.split}):{listed(wrong)}",
            hint="do not trust it before its author has explained the difference",
        )
