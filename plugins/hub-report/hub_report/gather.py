"""What a report is about: an artifact, its learning history, and its predictions with the truth.

Everything that comes from files is checked here; what follows can rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_core.errors import DataError, FormatError, near
from hub_core.predictions import Judged, place, read, run_folder
from hub_core.recipe import TASK_NAME
from hub_report.measures import number_of

if TYPE_CHECKING:
    from hub_core.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Epoch:
    """What was told of one epoch.

    Args:
        number: Counted from 1 over all stages.
        stage: The name of its stage.
        loss: Mean loss of its steps, or None where it is not known.
        validation: Task to metric to value.
        best: Whether its model was kept.
    """

    number: int
    stage: str
    loss: float | None
    validation: Mapping[str, Mapping[str, float]]
    best: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """A task's predictions.

    Args:
        task: The task's name.
        source: What was predicted, such as ``test`` or a file's name.
        labels: The task's labels in order; empty where it has none.
        rows: What was predicted for each example; empty where nothing is kept.
        metrics: What the head measures on them.
    """

    task: str
    source: str
    labels: Sequence[str]
    rows: Sequence[Judged] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about."""

    name: str
    manifest: Manifest
    history: Sequence[Epoch]
    evidence: Sequence[Evidence]


def from_run(folder: Path, manifest: Manifest, task: str = "") -> Subject:
    """Return an artifact with the predictions that its training left beside it.

    Args:
        folder: The artifact.
        manifest: Its manifest.
        task: The only task to report on; all by default.

    Raises:
        DataError: There are none, they are of another run, or there is no such task.
        FormatError: A task's name is none that a recipe may have.
    """
    evidence = [_kept(folder, manifest, name) for name in _tasks(manifest, task)]
    if not any(found.rows for found in evidence):
        raise DataError(
            f"there are no predictions beside {folder}, in {run_folder(folder)}",
            hint=f"give labelled data: hub report {folder} --data FILE",
        )
    return Subject(folder.resolve().name, manifest, history_of(manifest), evidence)


def from_data(
    folder: Path,
    manifest: Manifest,
    data: Sequence[str],
    *,
    task: str = "",
    columns: Mapping[str, str] | None = None,
    backbone: str = "",
) -> Subject:
    """Return an artifact with what it predicts on labelled data.

    Args:
        folder: The artifact.
        manifest: Its manifest.
        data: Files.
        task: The task that the data are for; may be left out if there is one.
        columns: Role to column name, where they differ from those in training.
        backbone: Where its backbone is, if it is not where this machine last used it.

    Raises:
        HubError: Whatever keeps the artifact from loading, or the data from fitting.
    """
    import hub_core

    _tasks(manifest, "")
    predictor = hub_core.load(folder, backbone=backbone)
    chosen = predictor.task(task)
    head = predictor.model.head(chosen.name)
    examples = predictor.examples(list(data), chosen, columns or {})
    targets = {column.role for column in head.columns if column.target}
    inputs = [{k: v for k, v in example.items() if k not in targets} for example in examples]
    found = predictor.predict(inputs, task=chosen.name)
    source = ", ".join(Path(name).name for name in data)
    rows = [
        Judged(source, given, {r: example[r] for r in targets if r in example}, dict(prediction))
        for given, example, prediction in zip(inputs, examples, found, strict=True)
    ]
    metrics = head.metrics(found, examples)
    evidence = Evidence(chosen.name, source, chosen.labels, rows, metrics)
    return Subject(folder.resolve().name, manifest, history_of(manifest), [evidence])


def _tasks(manifest: Manifest, wanted: str) -> list[str]:
    for name in manifest.tasks:
        if not TASK_NAME.fullmatch(name):  # it becomes a part of file names
            raise FormatError(f"the artifact has a task named {name!r}, which no recipe allows")
    if wanted and wanted not in manifest.tasks:
        hint = near(wanted, manifest.tasks) or f"it has {', '.join(manifest.tasks)}"
        raise DataError(f"this model has no task '{wanted}'", hint=hint)
    return [wanted] if wanted else list(manifest.tasks)


def _kept(folder: Path, manifest: Manifest, name: str) -> Evidence:
    entry = manifest.tasks[name]
    run = run_folder(folder)
    rows = read(run, name)
    split = rows[0].split if rows else ""
    if rows and len(rows) != entry.examples.get(split):
        raise DataError(
            f"{place(run, name)} has predictions of another run: it has {len(rows)} examples, "
            f"the artifact was measured on {entry.examples.get(split, 0)}",
            hint=f"give labelled data: hub report {folder} --data FILE",
        )
    return Evidence(name, split, entry.labels, rows, entry.metrics.get(split, {}))


def history_of(manifest: Manifest) -> list[Epoch]:
    """Return a manifest's history; what is no figure is left out."""
    return [_epoch(number, entry) for number, entry in enumerate(manifest.history, start=1)]


def _epoch(number: int, entry: Mapping[str, Any]) -> Epoch:
    validation = entry.get("validation")
    tables = validation.items() if isinstance(validation, Mapping) else ()
    return Epoch(
        number,
        str(entry.get("stage", "")),
        number_of(entry.get("loss")),
        {str(task): _figures(found) for task, found in tables},
        entry.get("best") is True,
    )


def _figures(values: Any) -> dict[str, float]:
    if not isinstance(values, Mapping):
        return {}
    found = {str(name): number_of(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}
