"""How long ``hub`` takes to say something, against ``import click``; and what it imports.

The environment is filled up with made distributions until there are 20 plugins among 150.

    python benchmarks/startup.py [--rounds N] [--json OUT]

Every round runs each command once, one after the other, so that a busy moment hits all of them.
Times are medians; a ratio is the median of the rounds' ratios. Nothing is asserted about time.
What discovery imports is asserted: no torch, no pydantic, and no module of a method's options or
factory. Exit code 1 if it does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

SCRIPT = Path(sys.executable).with_name("hub")
HUB = [str(SCRIPT)] if SCRIPT.is_file() else [sys.executable, "-m", "hub_core"]
FLOOR = [sys.executable, "-c", "import click"]
GOALS = {"--version": 3.0, "plugins list": 3.0, "methods": 4.0}
"""What follows ``hub`` to the largest wanted multiple of ``import click``."""
PLUGINS, DISTRIBUTIONS = 20, 150

HEAVY = frozenset({"torch", "pydantic", "transformers", "peft", "accelerate", "datasets"})
LISTING = """
import json, sys
from hub_core.cli import main
code = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""
PLUGIN = """
from hub_core.spec import Method, hookimpl

@hookimpl
def hub_strategies():
    yield Method(name="{name}", summary="Does nothing", factory="{name}_part:Part",
                 options="{name}_part:Options")
"""


def fill(folder: Path) -> tuple[int, int]:
    """Write distributions into a folder until it and this environment hold enough.

    Returns:
        How many plugins and how many distributions there are.
    """
    here = {found.metadata["Name"]: found for found in metadata.distributions()}
    plugins = sum(any(p.group == "hub_core" for p in d.entry_points) for d in here.values())
    made = max(0, PLUGINS - plugins)
    for number in range(made):
        name = f"plugin{number}"
        _distribution(folder, name, f"[hub_core]\n{name} = {name}_plugin\n")
        (folder / f"{name}_plugin.py").write_text(PLUGIN.format(name=name), encoding="utf-8")
    others = max(0, DISTRIBUTIONS - len(here) - made)
    for number in range(others):
        _distribution(
            folder, f"library{number}", "[console_scripts]\nit = it:main\n" * (number % 2)
        )
    return plugins + made, len(here) + made + others


def _distribution(folder: Path, name: str, points: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
    lines += [
        "Requires-Dist: hub-core>=0.1,<9",
        "Requires-Dist: click",
        "",
        "A description.\n" * 200,
    ]
    (info / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    (info / "RECORD").write_text(f"{name}/module.py,,\n" * 100, encoding="utf-8")
    if points:
        (info / "entry_points.txt").write_text(points, encoding="utf-8")


def seconds_of(command: Sequence[str]) -> float:
    """Return how long a command took, which must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(rounds: int) -> dict[str, Any]:
    """Return times and ratios by command, after a round that only warms the disk's cache."""
    commands = {"import click": FLOOR} | {f"hub {word}": [*HUB, *word.split()] for word in GOALS}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            seconds = seconds_of(command)
            if number:
                times[name].append(seconds)
    return {name: _summary(found, times["import click"]) for name, found in times.items()}


def _summary(times: Sequence[float], floor: Sequence[float]) -> dict[str, float]:
    ratios = [own / base for own, base in zip(times, floor, strict=True)]
    return {
        "seconds": statistics.median(times),
        "fastest": min(times),
        "slowest": max(times),
        "ratio": statistics.median(ratios),
    }


def unwanted(word: str) -> list[str]:
    """Return the modules that ``hub WORD`` imports though discovery must not."""
    command = [sys.executable, "-c", LISTING, *word.split()]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    return sorted(imported & (HEAVY | method_modules()))


def method_modules() -> set[str]:
    """Return the modules that hold options and factories of all installed methods."""
    from hub_core.catalog import installed

    methods = [provided.method for provided in installed().methods()]
    targets = [target for method in methods for target in (method.options, method.factory)]
    return {target.partition(":")[0] for target in targets}


def show(measured: Mapping[str, Mapping[str, float]], imports: Mapping[str, list[str]]) -> None:
    """Print times beside goals, and what should not have been imported."""
    print(f"{'':16}{'median ms':>10}{'fastest':>9}{'slowest':>9}{'ratio':>8}{'goal':>7}")
    for name, found in measured.items():
        cells = (1000 * found["seconds"], 1000 * found["fastest"], 1000 * found["slowest"])
        goal = GOALS.get(name.removeprefix("hub "))
        text = (
            "" if goal is None else f"{goal:6.1f}x {'met' if found['ratio'] <= goal else 'MISSED'}"
        )
        print(
            f"{name:16}{cells[0]:10.0f}{cells[1]:9.0f}{cells[2]:9.0f}{found['ratio']:7.2f}x{text}"
        )
    for name, modules in imports.items():
        print(f"{name} imports {', '.join(modules) or 'nothing that it should not'}")


def main() -> int:
    """Measure, print, and return 1 if discovery imports what it must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    os.environ.pop("HUB_PLUGINS", None)  # all plugins count
    with tempfile.TemporaryDirectory(prefix="hub-startup-") as place:
        counts = fill(Path(place) / "site")
        path = [f"{place}{os.sep}site", *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ |= {"PYTHONPATH": os.pathsep.join(path), "HUB_CORE_CONFIG": place}
        imports = {f"hub {word}": unwanted(word) for word in GOALS}
        measured = measure(options.rounds)
    print(f"{counts[0]} plugins among {counts[1]} distributions")
    show(measured, imports)
    if options.json:
        content = {"rounds": options.rounds, "goals": GOALS, "plugins": counts[0],
                   "distributions": counts[1], "times": measured, "imports": imports}  # fmt: skip
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 1 if any(imports.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
