"""Training: seconds, memory and accuracy of hub-core against ``Trainer`` scripts, paired.

    python benchmarks/training.py            everything; resumable; hours on a slow machine
    python benchmarks/training.py --quick    speeds once, on 300 movie sentences; minutes

Speeds come from runs on 1,000 sentences, three of each side in turn, each in a process of its own
with a cold start; a ratio is the median of the three pairs' ratios. Accuracy comes from 4,000
movie sentences, five seeds, measured on all other sentences after the last epoch; every side takes
its learning rate from the same grid, by one run on 1,000 sentences. What was measured is kept at
once in a file of results, and a finished run is not repeated. ``sides.py`` says what the sides are.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from kept import Kept
from sides import EPOCHS, MODES

HERE = Path(__file__).parent
MOVIES = HERE.parent / "examples" / "movies.csv"
SIDES = ("ours", "D", "B", "B+")
RATES = {
    "lora-qv": (1e-3, 2e-3, 4e-3),
    "lora-all": (5e-4, 1e-3, 2e-3),
    "full": (5e-5, 1e-4, 2e-4),
    "top-layers": (1e-4, 2e-4, 4e-4),
    "head-only": (5e-3, 1e-2, 2e-2),
}
GOALS = {
    "lora-qv": {"D": 5.0, "B": 1.7, "B+": 1.2},
    "lora-all": {"D": 4.5, "B": 1.7},
    "full": {"D": 4.0, "B": 1.4},
    "top-layers": {"D": 7.0, "B": 2.3},
    "head-only": {"D": 20.0, "B": 8.0},
}
"""Wanted ratios on a processor with AMX bf16."""
ELSEWHERE = {mode: {"D": 1.3} for mode in MODES}
ACCURACY_GOAL = -0.5
"""Points that the mean may be below B's."""


class Results(Kept):
    """Runs of ``sides.py``, each in a process of its own.

    Args:
        path: The file of results.
        setting: What must be the same.
        work: Where data are written to.
        workers: Runs at once, of those for accuracy alone.
    """

    def __init__(self, path: Path, setting: dict[str, Any], work: Path, workers: int) -> None:
        super().__init__(path, setting)
        self.work, self.workers = work, workers

    def measure(self, name: str, **job: Any) -> dict[str, Any]:
        """Return what a job measured."""
        job = {"seed": 0, "threads": self.setting["threads"], "curve": False, **job}
        command = [sys.executable, str(HERE / "sides.py"), json.dumps(job)]

        def run() -> dict[str, Any]:
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return found

        return self.get(name, run)

    def measure_all(self, jobs: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Measure many jobs, several at once."""
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(lambda job: self.measure(job[0], **job[1]), jobs))


# -- data


def movies() -> list[dict[str, str]]:
    """Return all movie sentences in a fixed random order."""
    with MOVIES.open(encoding="utf-8", newline="") as file:
        rows = [{"text": row["text"], "label": row["label"]} for row in csv.DictReader(file)]
    random.Random(0).shuffle(rows)
    return rows


def phrases(folder: Path) -> list[dict[str, str]]:
    """Return the training phrases of SST-2 in a fixed random order."""
    lines = (folder / "train.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    text = next(name for name in ("text", "sentence") if name in rows[0])
    random.Random(0).shuffle(rows)
    return [{"text": row[text], "label": str(row["label"])} for row in rows]


def written(work: Path, name: str, rows: Sequence[dict[str, str]]) -> str:
    """Write rows as JSON lines and return the file."""
    path = work / f"{name}.jsonl"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return str(path)


def speed_data(results: Results, sentences: int) -> dict[str, tuple[str, str]]:
    """Return the data sets that speeds are measured on: a training and a small held-out file."""
    sets = {"movies": movies()}
    shared = "" if results.setting["quick"] else os.environ.get("HUB_SHARED", "")
    if (sst2 := Path(shared) / "data" / "sst2").is_dir() and shared:
        sets["sst2"] = phrases(sst2)
    return {
        name: (
            written(results.work, f"{name}-{sentences}", rows[:sentences]),
            written(results.work, f"{name}-held-out", rows[-1000:]),
        )
        for name, rows in sets.items()
    }


# -- measuring


def speeds(results: Results, rounds: int, modes: Sequence[str], sentences: int) -> None:
    """Run every side of every mode in turn, round by round."""
    data = speed_data(results, sentences)
    for name, number in itertools.product(data, range(rounds)):
        for mode, side in ((mode, side) for mode in modes for side in SIDES):
            results.measure(
                f"speed {name} {mode} {side} {number}",
                side=side,
                mode=mode,
                data=data[name],
                rate=RATES[mode][1],
            )


def accuracies(results: Results, seeds: int, modes: Sequence[str], sentences: int) -> None:
    """Choose each side's learning rate, then run all seeds of ours and of B."""
    small = speed_data(results, 1000)["movies"]
    rows = movies()
    large = (
        written(results.work, f"movies-{sentences}", rows[:sentences]),
        written(results.work, "movies-others", rows[sentences:]),
    )
    pairs = list(itertools.product(modes, ("ours", "B")))
    results.measure_all(
        (f"rate {mode} {side} {rate:g}",
         {"side": side, "mode": mode, "data": small, "rate": rate, "curve": True})
        for mode, side in pairs for rate in RATES[mode]
    )  # fmt: skip
    results.measure_all(
        (f"accuracy {mode} {side} {seed}",
         {"side": side, "mode": mode, "data": large, "seed": seed, "curve": True,
          "rate": best_rate(results, mode, side)})
        for seed in range(seeds) for mode, side in pairs
    )  # fmt: skip


def best_rate(results: Results, mode: str, side: str) -> float:
    """Return the rate of the grid that was best on 1,000 sentences."""
    return max(
        RATES[mode], key=lambda rate: results.runs[f"rate {mode} {side} {rate:g}"]["accuracy"]
    )


# -- showing


def show_speeds(results: Results) -> None:
    """Print seconds, memory, accuracy and ratios of every mode that was measured."""
    groups: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for key, found in results.runs.items():
        kind, *rest = key.split()
        if kind == "speed":
            name, mode, side, _ = rest
            groups.setdefault((name, mode), {}).setdefault(side, []).append(found)
    goals = GOALS if results.setting["amx"] else ELSEWHERE
    print(f"{'data':8}{'mode':12}{'side':6}{'seconds':>9}{'MiB':>7}{'accuracy':>10}"
          f"{'side/ours':>11}{'goal':>7}")  # fmt: skip
    for (name, mode), sides in groups.items():
        for side, found in sides.items():
            seconds = statistics.median(run["seconds"] for run in found)
            peak = statistics.median(run["peak_mib"] for run in found)
            accuracy = statistics.mean(run["accuracy"] for run in found)
            pairs = zip(found, sides["ours"], strict=False)
            ratio = statistics.median(a["seconds"] / b["seconds"] for a, b in pairs)
            goal = goals[mode].get(side)
            verdict = "" if goal is None else f"{goal:6.1f}x {'met' if ratio >= goal else 'MISSED'}"
            print(f"{name:8}{mode:12}{side:6}{seconds:9.1f}{peak:7.0f}{accuracy:10.4f}"
                  f"{ratio:10.2f}x{verdict}")  # fmt: skip


def show_accuracies(results: Results) -> None:
    """Print mean accuracies, their difference, and the seconds to B's final accuracy."""
    for mode in MODES:
        sides = {
            side: [r for k, r in results.runs.items() if k.startswith(f"accuracy {mode} {side} ")]
            for side in ("ours", "B")
        }
        count = min(map(len, sides.values()))
        if not count:
            continue
        means = {side: statistics.mean(run["accuracy"] for run in found[:count]) * 100
                 for side, found in sides.items()}  # fmt: skip
        difference = means["ours"] - means["B"]
        reached = [_seconds_to(run["curve"], means["B"] / 100) for run in sides["ours"][:count]]
        own = [run["curve"][-1]["seconds"] for run in sides["B"][:count]]
        known = [seconds for seconds in reached if seconds is not None]
        told = f"{statistics.median(known):.0f} s" if len(known) == count else (
            f"{len(known)} of {count} seeds reach it")  # fmt: skip
        print(
            f"{mode:12}ours {means['ours']:.2f} %  B {means['B']:.2f} %  difference "
            f"{difference:+.2f} points of {count} seeds (goal {ACCURACY_GOAL:+.1f}: "
            f"{'met' if difference >= ACCURACY_GOAL else 'MISSED'}); to B's accuracy: ours {told}, "
            f"B {statistics.median(own):.0f} s; rates {best_rate(results, mode, 'ours'):g} and "
            f"{best_rate(results, mode, 'B'):g}"
        )


def show_time(results: Results) -> None:
    """Print how long all runs took, from start to last prediction."""
    seconds = {"alone": 0.0, "beside others": 0.0}
    for key, found in results.runs.items():
        seconds["alone" if key.startswith("speed ") else "beside others"] += found["seconds"]
    hours = (seconds["alone"] + seconds["beside others"] / 2) / 3600
    print(f"{len(results.runs)} runs of {sum(seconds.values()):,.0f} s; with --workers 2 that is "
          f"{hours:.2f} h")  # fmt: skip


def _seconds_to(curve: Sequence[dict[str, float]], accuracy: float) -> float | None:
    return next((p["seconds"] for p in curve if p["accuracy"] >= accuracy), None)


def setting(threads: int, quick: bool) -> dict[str, Any]:
    """Return what must be the same for results to be compared."""
    able = torch.cpu.get_capabilities()
    return {
        "quick": quick,
        "threads": threads,
        "epochs": EPOCHS,
        "amx": bool(able.get("amx_bf16", False)),
        "bf16": bool(able.get("avx512_bf16", False)),
        **{name: metadata.version(name) for name in ("torch", "transformers", "peft")},
    }


def main() -> None:
    """Measure what is missing and print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="speeds once, on 300 sentences")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--workers", type=int, default=1, help="runs at once, of those for accuracy alone"
    )
    parser.add_argument("--results", type=Path, help="default: a file in results/")
    parser.add_argument("--only-show", action="store_true", help="run nothing")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    name = "training-quick" if options.quick else "training"
    path = options.results or HERE / "results" / f"{name}.json"
    work = HERE / "results" / "data.run"
    work.mkdir(parents=True, exist_ok=True)
    results = Results(path, setting(options.threads, options.quick), work,
                      options.workers)  # fmt: skip
    if not options.only_show:
        speeds(results, 1 if options.quick else 3, options.modes, 300 if options.quick else 1000)
    if not options.quick and not options.only_show:
        accuracies(results, 5, options.modes, 4000)
    show_speeds(results)
    show_accuracies(results)
    show_time(results)


if __name__ == "__main__":
    main()
