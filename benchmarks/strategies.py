"""Tuning strategies on one small encoder: metric, trained parameters, seconds, bytes.

    python benchmarks/strategies.py            everything; resumable; hours on a slow machine
    python benchmarks/strategies.py --quick    every strategy once, on 300 movie sentences; minutes

Three parts. ``each``: every strategy once on 2,000 SST-2 sentences. ``main``: the main ones with
three seeds on 4,000 examples of SST-2, MRPC and STS-B, against full tuning and against what the
papers say of that distance (``strategies.toml``). ``few``: eight labels of each class. All but
``few`` keep the best epoch on validation; all are measured on test, at every method's default rate.
What was measured is kept at once in a file of results, a finished run is not repeated, and a run
that fails is told and left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from kept import Kept
from strategy_plot import draw

HERE = Path(__file__).parent
CHOICES: dict[str, Any] = tomllib.loads((HERE / "strategies.toml").read_text("utf-8"))
SETS = ("sst2", "mrpc", "stsb")
METRIC = {
    "movies": "accuracy",
    "products": "accuracy",
    "sst2": "accuracy",
    "mrpc": "accuracy",
    "stsb": "pearson",
}
WORST = -3.0
"""Points that a method may be below its paper's distance from full tuning."""
FEW_GOAL = 10.0
"""Points that the method for few labels must be above full tuning."""

Jobs = Iterator[tuple[str, dict[str, Any]]]


class Results(Kept):
    """Runs of ``strategy_run.py``, each in a process of its own.

    Args:
        path: The file of results.
        setting: What must be the same.
        workers: Runs at once.
        seconds: After how long no new run is begun; 0: never.
    """

    def __init__(self, path: Path, setting: dict[str, Any], workers: int, seconds: float) -> None:
        super().__init__(path, setting)
        self.workers = workers
        self._end = time.monotonic() + seconds if seconds else float("inf")

    def measure(self, name: str, job: dict[str, Any]) -> None:
        """Run a job that has not been run yet, if there is time."""
        if name in self.runs or time.monotonic() > self._end:
            return
        command = [sys.executable, str(HERE / "strategy_run.py"), json.dumps(job)]

        def run() -> dict[str, Any]:
            done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return found

        try:
            self.get(name, run)
        except subprocess.CalledProcessError as error:
            last = (error.stderr or "").strip().splitlines()[-1:]
            print(f"{name} failed: {' '.join(last)}", file=sys.stderr, flush=True)

    def measure_all(self, jobs: Jobs) -> None:
        """Measure many jobs, several at once."""
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(lambda job: self.measure(*job), jobs))

    def of(self, *start: str) -> dict[str, dict[str, Any]]:
        """Return the runs whose names begin with these words, by the rest of the name."""
        words = " ".join(start) + " "
        return {k.removeprefix(words): r for k, r in self.runs.items() if k.startswith(words)}


# -- the runs


def every_strategy() -> list[str]:
    """Return the strategies of the plugins that are installed."""
    from hub_core.catalog import installed

    return [p.method.name for p in installed().methods() if p.kind == "strategy"]


def job_of(name: str, sets: Sequence[str], count: int, seed: int, epochs: int) -> dict[str, Any]:
    """Return what a run of one method is: its choices, or it alone."""
    chosen = CHOICES["runs"].get(name, {})
    usual = {"strategies": [name], "sets": list(sets), "count": count, "seed": seed}
    return usual | {"epochs": epochs} | chosen


def each(names: Sequence[str], name: str, count: int, epochs: int) -> Jobs:
    """Yield every strategy once on one data set."""
    others = ["mrpc", "stsb"] if name == "sst2" else ["movies", "products"]
    for strategy in names:
        several = strategy in CHOICES["several_tasks"]
        job = job_of(strategy, [name, others[-1]] if several else [name], count, 0, epochs)
        yield f"each {strategy}", job | ({"adapters": others} if "adapters" in job else {})


def main_ones(methods: Sequence[str], seeds: int, count: int, epochs: int) -> Jobs:
    """Yield main methods on all sets, seed by seed."""
    for seed, name in itertools.product(range(seeds), methods):
        if name in CHOICES["several_tasks"]:
            yield f"main {name} all {seed}", job_of(name, SETS, count, seed, epochs)
            continue
        for data in SETS:
            if data not in CHOICES["without"].get(name, []):
                yield f"main {name} {data} {seed}", job_of(name, [data], count, seed, epochs)


def few(seeds: int) -> Jobs:
    """Yield what is trained on eight labels of each class."""
    for seed, (name, chosen) in itertools.product(range(seeds), CHOICES["few"].items()):
        job = {"sets": ["sst2"], "count": 0, "seed": seed, "per_class": 8}
        yield f"few {name} {seed}", job | chosen


# -- showing


def metric_of(run: dict[str, Any], name: str) -> float:
    """Return a run's metric on a data set, in points."""
    return 100 * float(run["metrics"][name][METRIC[name]])


def show_each(results: Results, name: str) -> None:
    """Print every strategy's single run."""
    runs = results.of("each")
    if not runs:
        return
    print(f"{'strategy':24}{METRIC[name] + ' %':>12}{'trained':>12}{'seconds':>9}{'kB':>9}")
    for strategy, run in sorted(runs.items(), key=lambda found: -metric_of(found[1], name)):
        print(f"{strategy:24}{metric_of(run, name):12.1f}{run['trained']:12,}"
              f"{run['seconds']:9.0f}{run['bytes'] / 1000:9,.0f}")  # fmt: skip


def main_values(results: Results, name: str, data: str) -> dict[str, dict[str, Any]]:
    """Return a main method's runs on a data set, by seed."""
    return results.of("main", name, data) or results.of("main", name, "all")


def show_main(results: Results) -> None:
    """Print mean and spread of the main methods, and their distance from full tuning."""
    if not results.of("main"):
        return
    print(f"{'strategy':24}{'set':6}{'metric':>9}{'mean %':>8}{'spread':>8}{'seeds':>6}"
          f"{'trained':>12}{'seconds':>9}{'kB':>9}{'- full':>8}{'paper':>7}")  # fmt: skip
    for name, data in itertools.product(CHOICES["main"], SETS):
        if runs := main_values(results, name, data):
            points = [metric_of(run, data) for run in runs.values()]
            first = next(iter(runs.values()))
            print(f"{name:24}{data:6}{METRIC[data]:>9}{statistics.mean(points):8.2f}"
                  f"{_spread(points):8.2f}{len(points):6}{first['trained']:12,}"
                  f"{statistics.median(run['seconds'] for run in runs.values()):9.0f}"
                  f"{first['bytes'] / 1000:9,.0f}{_verdict(results, name, data)}")  # fmt: skip


def _verdict(results: Results, name: str, data: str) -> str:
    """Return the mean paired difference from full tuning beside the paper's."""
    runs, full = main_values(results, name, data), results.of("main", "full", data)
    shared = [seed for seed in runs if seed in full]
    if name == "full" or not shared:
        return ""
    difference = statistics.mean(
        metric_of(runs[s], data) - metric_of(full[s], data) for s in shared
    )
    paper = paper_of(name, data)
    missed = difference < paper + WORST
    return f"{difference:+8.2f}{paper:+7.1f}{' OPEN' if missed else ''}"


def paper_of(name: str, data: str) -> float:
    """Return the distance from full tuning that a paper gives for such data; 0 if it gives none."""
    found = CHOICES["papers"].get(name, {})
    kind = "single" if data == "sst2" else "pair"
    return float(found.get(kind, 0.0))


def show_calibration(results: Results) -> None:
    """Print the calibration error of a bounded range beside that of plain full tuning."""
    for data in ("sst2", "mrpc"):
        plain, bounded = (main_values(results, name, data) for name in ("full", "dynamic-range"))
        if shared := [seed for seed in bounded if seed in plain]:
            lines = []
            for label, runs in (("full", plain), ("dynamic-range", bounded)):
                errors = [runs[seed]["metrics"][data]["calibration_error"] for seed in shared]
                points = [metric_of(runs[seed], data) for seed in shared]
                lines.append(f"{label} {100 * statistics.mean(errors):.2f} % "
                             f"(accuracy {statistics.mean(points):.2f} %)")  # fmt: skip
            print(f"calibration error on {data}, {len(shared)} seeds: {', '.join(lines)}")


def show_few(results: Results) -> None:
    """Print what eight labels of each class give."""
    found = {name: results.of("few", name) for name in CHOICES["few"]}
    means = {}
    for name, runs in found.items():
        if runs:
            points = [metric_of(run, "sst2") for run in runs.values()]
            means[name] = statistics.mean(points)
            print(f"8 labels of each class: {name:15}{means[name]:7.2f} % "
                  f"(spread {_spread(points):.2f}, {len(points)} seeds)")  # fmt: skip
    for other in [name for name in means if name != "setfit" and "setfit" in means]:
        gain = means["setfit"] - means[other]
        verdict = "met" if gain >= FEW_GOAL else "MISSED"
        print(f"setfit - {other}: {gain:+.2f} points (goal {FEW_GOAL:+.0f}: {verdict})")


def _spread(points: Sequence[float]) -> float:
    return statistics.stdev(points) if len(points) > 1 else 0.0


def show_time(results: Results) -> None:
    """Print how long all runs took."""
    seconds = sum(run["seconds"] for run in results.runs.values())
    print(f"{len(results.runs)} runs of {seconds:,.0f} s of training")


def main() -> None:
    """Measure what is missing and print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="each once, on 300 movie sentences")
    parser.add_argument("--parts", nargs="+", choices=("each", "main", "few"),
                        default=["each", "main", "few"])  # fmt: skip
    parser.add_argument("--methods", nargs="+", help="only these; default: all")
    parser.add_argument("--seeds", type=int, default=3, help="of the main ones")
    parser.add_argument("--workers", type=int, default=2, help="runs at once")
    parser.add_argument("--seconds", type=float, default=0, help="begin no run after that long")
    parser.add_argument("--results", type=Path, help="default: a file in results/")
    parser.add_argument("--only-show", action="store_true", help="run nothing")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    if not options.quick and not options.only_show and not os.environ.get("HUB_SHARED"):
        raise SystemExit("HUB_SHARED must name the folder that has data/sst2; or use --quick")
    versions = {name: metadata.version(name) for name in ("torch", "transformers", "peft")}
    name = "strategies-quick" if options.quick else "strategies"
    path = options.results or HERE / "results" / f"{name}.json"
    results = Results(path, {"quick": options.quick, **versions}, options.workers, options.seconds)
    if not options.only_show:
        run_parts(results, options)
    show_each(results, "movies" if options.quick else "sst2")
    show_main(results)
    show_calibration(results)
    show_few(results)
    show_time(results)
    if results.of("main"):
        draw(points_of(results), HERE.parent / "docs" / "pictures" / "strategies.svg")


def run_parts(results: Results, options: argparse.Namespace) -> None:
    """Measure what is missing of the chosen parts."""
    names = [name for name in every_strategy() if name in (options.methods or [name])]
    if options.quick:
        results.measure_all(each(names, "movies", 300, 1))
        return
    if "each" in options.parts:
        results.measure_all(each(names, "sst2", 2000, 2))
    if "few" in options.parts:
        results.measure_all(few(5))
    if "main" in options.parts:
        methods = [name for name in CHOICES["main"] if name in (options.methods or CHOICES["main"])]
        results.measure_all(main_ones(methods, options.seeds, 4000, 2))


def points_of(results: Results) -> dict[str, list[tuple[str, int, float]]]:
    """Return each data set's methods with trained parameters and mean metric."""
    return {
        data: [
            (name, next(iter(runs.values()))["trained"],
             statistics.mean(metric_of(run, data) for run in runs.values()))
            for name in CHOICES["main"] if (runs := main_values(results, name, data))
        ]
        for data in SETS
    }  # fmt: skip


if __name__ == "__main__":
    main()
