"""How long ``hub`` takes to say something, against ``import click``; and what it imports.

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
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCRIPT = Path(sys.executable).with_name("hub")
HUB = [str(SCRIPT)] if SCRIPT.is_file() else [sys.executable, "-m", "hub_core"]
FLOOR = [sys.executable, "-c", "import click"]
GOALS = {"--version": 3.0, "plugins": 3.0, "methods": 4.0}
"""What follows ``hub`` to the largest wanted multiple of ``import click``."""

HEAVY = frozenset({"torch", "pydantic", "transformers", "peft", "accelerate", "datasets"})
LISTING = """
import json, sys
from hub_core.cli import main
code = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def seconds_of(command: Sequence[str]) -> float:
    """Return how long a command took, which must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(rounds: int) -> dict[str, Any]:
    """Return times and ratios by command, after a round that only warms the disk's cache."""
    commands = {"import click": FLOOR} | {f"hub {word}": [*HUB, word] for word in GOALS}
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
    done = subprocess.run(
        [sys.executable, "-c", LISTING, word], check=True, capture_output=True, encoding="utf-8"
    )
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
    print(f"{'':14}{'median ms':>10}{'fastest':>9}{'slowest':>9}{'ratio':>8}{'goal':>7}")
    for name, found in measured.items():
        cells = (1000 * found["seconds"], 1000 * found["fastest"], 1000 * found["slowest"])
        goal = GOALS.get(name.removeprefix("hub "))
        text = (
            "" if goal is None else f"{goal:6.1f}x {'met' if found['ratio'] <= goal else 'MISSED'}"
        )
        print(
            f"{name:14}{cells[0]:10.0f}{cells[1]:9.0f}{cells[2]:9.0f}{found['ratio']:7.2f}x{text}"
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
    imports = {f"hub {word}": unwanted(word) for word in GOALS}
    measured = measure(options.rounds)
    show(measured, imports)
    if options.json:
        content = {"rounds": options.rounds, "goals": GOALS, "times": measured, "imports": imports}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 1 if any(imports.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
