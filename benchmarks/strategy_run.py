"""One training run with hub-core, in a process of its own: its metrics, seconds and sizes.

    python benchmarks/strategy_run.py '{"strategies": ["lora"], "sets": ["sst2"], ...}'

Data are JSON lines in ``$HUB_SHARED/data/NAME``, but for those that are in ``examples``.
Every run keeps its best epoch on validation, if it has validation data, and is measured on test.
"""

from __future__ import annotations

import csv
import json
import os
import random
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
EXAMPLES = Path(__file__).parent.parent / "examples"
OWN = ("movies", "products")
HEADS = dict.fromkeys((*OWN, "sst2", "mrpc"), "classification") | {"stsb": "regression"}
WATCHED = 500
"""Most validation examples."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one run is.

    Args:
        strategies: As in a recipe.
        sets: Names of data sets, each of them a task.
        count: Training examples of each, at most.
        seed: The seed, also of what is drawn.
        epochs: Passes over the data.
        head: The head of a single task; default: the usual one.
        per_class: Training examples for each label, instead of ``count``, without validation.
        adapters: Sets on each of which LoRA is trained first; the first strategy then gets the
            artifacts as its option ``adapters``.
        training: More of the recipe's training section.
        backbone: More of the backbone's options.
    """

    strategies: list[Any]
    sets: list[str]
    count: int
    seed: int
    epochs: int
    head: Any = None
    per_class: int = 0
    adapters: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    backbone: dict[str, Any] = field(default_factory=dict)


def rows_of(name: str, split: str) -> Rows:
    """Return a split of a data set."""
    if name in OWN:
        return _own(name)[split]
    path = Path(os.environ["HUB_SHARED"]) / "data" / name / f"{split}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _own(name: str) -> dict[str, Rows]:
    """Return sentences of the examples, in a fixed random order."""
    with (EXAMPLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = [{"text": row["text"], "label": row["label"]} for row in csv.DictReader(file)]
    random.Random(0).shuffle(rows)
    return {"test": rows[:1000], "validation": rows[1000:1500], "train": rows[1500:]}


def data_of(job: Job, name: str) -> dict[str, Rows]:
    """Return a data set's splits as a run sees them."""
    rows, chance = rows_of(name, "train"), random.Random(job.seed)
    if job.per_class:
        return {"train": _few(rows, job.per_class, chance), "test": rows_of(name, "test")}
    watched = rows_of(name, "validation")
    return {
        "train": chance.sample(rows, min(job.count, len(rows))),
        "validation": random.Random(0).sample(watched, min(WATCHED, len(watched))),
        "test": rows_of(name, "test"),
    }


def _few(rows: Rows, per_class: int, chance: random.Random) -> Rows:
    by_label: dict[Any, Rows] = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    return [row for label in sorted(by_label) for row in chance.sample(by_label[label], per_class)]


def recipe_of(job: Job) -> dict[str, Any]:
    """Return the recipe."""
    from baseline import encoder_folder

    tasks = {name: {"head": job.head or HEADS[name]} for name in job.sets}
    if job.per_class:
        tasks = {name: task | {"validation": 0} for name, task in tasks.items()}
    return {
        "backbone": {"name": "transformers", "model": str(encoder_folder())} | job.backbone,
        "tasks": tasks,
        "strategies": job.strategies,
        "training": {"epochs": job.epochs, "seed": job.seed, "threads": 1, "device": "cpu"}
        | job.training,
    }


def train(job: Job, out: Path) -> dict[str, Any]:
    """Train once and return what was measured."""
    import hub_core

    told: dict[str, Any] = {}

    def report(event: str, figures: Any) -> None:
        if event == "plan":
            told.update(figures)

    data = {name: data_of(job, name) for name in job.sets}
    result = hub_core.train(recipe_of(job), data if len(data) > 1 else data[job.sets[0]],
                            out=out, report=report, prove=False)  # fmt: skip
    manifest = result.manifest
    assert manifest is not None
    return {
        "metrics": {name: found["test"] for name, found in result.metrics.items()},
        "seconds": result.seconds,
        "trained": told["trained"],
        "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "report": manifest.report,
    }


def run(job: Job) -> dict[str, Any]:
    """Train what the job asks for, and what must be there before."""
    with tempfile.TemporaryDirectory() as folder:
        there = []
        for name in job.adapters:
            before = Job(["lora"], [name], job.count, job.seed, job.epochs)
            train(before, Path(folder) / f"lora-{name}")
            there.append(str(Path(folder) / f"lora-{name}"))
        if there:
            first = {"name": job.strategies[0], "adapters": there}
            job = replace(job, strategies=[first, *job.strategies[1:]])
        return train(job, Path(folder) / "out")


def main() -> None:
    """Run the job that the first argument describes, and print what came out as JSON."""
    print(json.dumps(run(Job(**json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
