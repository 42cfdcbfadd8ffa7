"""Real text in portions that one thread trains on in half a minute, and the recipes for them.

``benchmarks/floors.py`` reads this too: floors and tests are measured on the same examples.
"""

import csv
import json
import random
from pathlib import Path

MOVIES = Path(__file__).parent.parent / "examples" / "movies.csv"
SHARES = {"validation": 0.1, "test": 0.4}
"""Of 2,400 sentences: a large test set, because its size limits how close a floor can be."""
PAIRS = {"train": 1200, "validation": 240, "test": 960}
EPOCHS = 3
TASK = "real"
METRICS = {"classification": "accuracy", "regression": "pearson"}


def recipe(head, encoder):
    """LoRA with its defaults; the seed of the split is the recipe's, 0."""
    shares = SHARES if head == "classification" else {}
    return {
        "backbone": {"name": "transformers", "model": str(encoder)},
        "tasks": {TASK: {"head": head, **shares}},
        "strategies": ["lora"],
        "training": {"epochs": EPOCHS, "threads": 1, "device": "cpu"},
    }


def movies():
    """2,400 sentences of movie reviews with ``text`` and ``label``, still to be split."""
    with MOVIES.open(encoding="utf-8", newline="") as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), 2400)
    return [{"text": row["text"], "label": row["label"]} for row in rows]


def stsb(folder):
    """Pairs of sentences and how much they mean the same, from 0 to 5, in their own splits."""
    return {split: _pairs(folder / f"{split}.jsonl", count) for split, count in PAIRS.items()}


def _pairs(path, count):
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return random.Random(0).sample(rows, count)
