"""LoRA on movie sentences: hub-core with its defaults against a plain ``Trainer`` with PEFT.

    python benchmarks/accuracy.py            three seeds, all sentences, half an hour on one core
    python benchmarks/accuracy.py --quick    one seed, 1,500 sentences, a few minutes

Both sides get the same encoder, pooling, rank, split, epochs and one thread, and both keep their
best epoch on validation. The split is hub-core's own: 80, 10 and 10 percent, made with the seed.
hub-core takes its default learning rate. The ``Trainer`` script (``baseline.py``) takes the best
of three, chosen on the validation sentences of the first seed.

Every run is a process of its own. What it measured is kept at once, and a finished run is not
repeated: take it out of the file of results to measure it again.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from kept import Kept

HERE = Path(__file__).parent
SENTENCES = HERE.parent / "examples" / "movies.csv"
QUICK = 1500
EPOCHS = 3
GOAL = -1.0
"""The smallest accepted difference of means, in points."""


def recipe(seed: int) -> dict[str, Any]:
    """Return the recipe of our side: nothing but what has no default."""
    from baseline import encoder_folder

    return {
        "backbone": {"name": "transformers", "model": str(encoder_folder())},
        "tasks": {"sentiment": {"head": "classification"}},
        "strategies": ["lora"],
        "training": {"seed": seed, "epochs": EPOCHS, "threads": 1, "device": "cpu"},
    }


def split(seed: int, sentences: int) -> dict[str, list[dict[str, Any]]]:
    """Return the sentences as hub-core splits them with this seed."""
    from hub_core.build import plan
    from hub_core.catalog import installed
    from hub_core.part import Context
    from hub_core.recipe import parse
    from hub_core.tasks import read_data

    with SENTENCES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if sentences < len(rows):
        rows = random.Random(0).sample(rows, sentences)
    blueprint = plan(parse(recipe(seed)), installed(), Context(empty=True))
    found = read_data(blueprint, rows)["sentiment"].splits
    return {name: [dict(example) for example in examples] for name, examples in found.items()}


def run_hub(seed: int, sentences: int) -> dict[str, Any]:
    """Train our side once."""
    import torch

    import hub_core

    torch.set_num_threads(1)
    result = hub_core.train(recipe(seed), split(seed, sentences))
    found = {name: values["accuracy"] for name, values in result.metrics["sentiment"].items()}
    return {"seed": seed, **found, "seconds": result.seconds}


def run_trainer(seed: int, sentences: int, rate: float) -> dict[str, Any]:
    """Train the other side once."""
    import baseline
    import torch

    torch.set_num_threads(1)
    outcome = baseline.fit(
        "classification", **split(seed, sentences), rate=rate, seed=seed, epochs=EPOCHS
    )
    return asdict(outcome)


class Results(Kept):
    """Runs of both sides, each in a process of its own."""

    def measure(
        self, name: str, run: Callable[..., dict[str, Any]], *numbers: float
    ) -> dict[str, Any]:
        """Return what a run measured."""

        def fresh() -> dict[str, Any]:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                return pool.submit(run, *numbers).result()

        return self.get(name, fresh)


def measure(results: Results, seeds: int, sentences: int) -> dict[str, list[dict[str, Any]]]:
    """Return every seed's outcome of both sides, which take turns."""
    from baseline import RATES

    def trainer(seed: int, rate: float) -> dict[str, Any]:
        return results.measure(
            f"trainer, seed {seed}, rate {rate:g}", run_trainer, seed, sentences, rate
        )

    best = max((trainer(0, rate) for rate in RATES), key=lambda found: found["validation"])
    sides: dict[str, list[dict[str, Any]]] = {"hub-core": [], "Trainer": []}
    for seed in range(seeds):
        sides["hub-core"].append(
            results.measure(f"hub-core, seed {seed}", run_hub, seed, sentences)
        )
        sides["Trainer"].append(trainer(seed, best["rate"]))
    return sides


def show(sides: dict[str, list[dict[str, Any]]]) -> None:
    """Print the accuracy on test of every seed, mean, spread, seconds and the difference."""
    seeds = [found["seed"] for found in sides["Trainer"]]
    heads = [*(f"seed {seed}" for seed in seeds), "mean", "spread", "seconds"]
    print(f"{'accuracy in %':14}" + "".join(f"{head:>9}" for head in heads))
    for side, found in sides.items():
        points = [100 * outcome["test"] for outcome in found]
        cells = [*points, statistics.mean(points), _spread(points)]
        seconds = statistics.mean(outcome["seconds"] for outcome in found)
        print(f"{side:14}" + "".join(f"{cell:9.2f}" for cell in cells) + f"{seconds:9.0f}")
    pairs = zip(sides["hub-core"], sides["Trainer"], strict=True)
    differences = [100 * (ours["test"] - theirs["test"]) for ours, theirs in pairs]
    mean = statistics.mean(differences)
    print(f"the Trainer's learning rate: {sides['Trainer'][0]['rate']:g}")
    print(f"difference of means: {mean:+.2f} points (of single seeds: "
          f"{', '.join(f'{d:+.2f}' for d in differences)}); "
          f"goal: no worse than {GOAL:+.1f}; {'met' if mean >= GOAL else 'MISSED'}")  # fmt: skip


def _spread(points: Sequence[float]) -> float:
    return statistics.stdev(points) if len(points) > 1 else 0.0


def main() -> None:
    """Measure what is missing and print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"1 seed, {QUICK} sentences")
    parser.add_argument("--results", type=Path, help="default: results/accuracy.json beside this")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    seeds, sentences, name = (
        (1, QUICK, "accuracy-quick") if options.quick else (3, 8472, "accuracy")
    )
    packages = ("torch", "transformers", "peft")
    versions = {package: metadata.version(package) for package in packages}
    setting = {"sentences": sentences, "epochs": EPOCHS, "threads": 1, **versions}
    path = options.results or HERE / "results" / f"{name}.json"
    show(measure(Results(path, setting), seeds, sentences))


if __name__ == "__main__":
    main()
