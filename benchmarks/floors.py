"""Write ``tests/data/floors.json``: what a plain ``Trainer`` reaches on the examples of the tests.

    HUB_SHARED=DIR python benchmarks/floors.py        ten runs, ten minutes on one core

A floor is the mean over three seeds on test, less a margin. The learning rate is the best of
three on validation with the first seed. Nothing here comes from training with hub-core; only
the split is its own.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import baseline
import torch

from hub_core.build import plan
from hub_core.catalog import installed
from hub_core.data import TaskData
from hub_core.part import Context
from hub_core.recipe import parse
from hub_core.tasks import read_data

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import realdata  # noqa: E402

MARGIN = 0.015
SEEDS = 3
OUT = ROOT / "tests" / "data" / "floors.json"


def splits(head: str, data: Any) -> TaskData:
    """Return the examples as training with hub-core would see them."""
    recipe = parse(realdata.recipe(head, baseline.encoder_folder()))
    return read_data(plan(recipe, installed(), Context(empty=True)), data)[realdata.TASK]


def floor(head: str, data: Any) -> dict[str, Any]:
    """Measure one head."""
    found = splits(head, data)
    rows = {name: [dict(example) for example in own] for name, own in found.splits.items()}

    def run(rate: float, seed: int = 0) -> baseline.Outcome:
        outcome = baseline.fit(head, **rows, rate=rate, seed=seed, epochs=realdata.EPOCHS)
        print(head, outcome, flush=True)
        return outcome

    best = baseline.search(run)
    runs = [best, *(run(best.rate, seed) for seed in range(1, SEEDS))]
    measured = statistics.mean(outcome.test for outcome in runs)
    return {
        "metric": realdata.METRICS[head],
        "floor": round(measured - MARGIN, 4),
        "measured": round(measured, 4),
        "examples": {name: len(own) for name, own in rows.items()},
        "test_sha256": found.fingerprint("test"),
        "runs": [asdict(outcome) for outcome in runs],
    }


def main() -> None:
    """Measure both heads and write the file."""
    shared = os.environ.get("HUB_SHARED")
    if not shared:
        raise SystemExit("HUB_SHARED must name the folder with data/stsb")
    torch.set_num_threads(1)
    heads = {
        "classification": floor("classification", realdata.movies()),
        "regression": floor("regression", realdata.stsb(Path(shared) / "data" / "stsb")),
    }
    content = {
        "command": "python benchmarks/floors.py",
        "margin": MARGIN,
        "versions": {name: metadata.version(name) for name in ("torch", "transformers", "peft")},
        "heads": heads,
    }
    OUT.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
