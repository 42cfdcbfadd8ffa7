"""A third party's plugin from nothing to another machine's predictions, in an empty folder.

Follows CONTRIBUTING.md word for word in one environment, publishes what was trained to a Hub of
its own, and pulls it in a second environment that lacks the plugin. Both environments are fresh
ones on top of this one, which has hub-core and its plugins, so that torch is not installed again;
nothing is installed into this one.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from walkthrough import ROOT, File, layered, run, steps

EVERY = 20
"""One in so many labelled sentences is trained on; they are sorted by label."""
NAME = "third-party/movies"
SENTENCES = ("A warm, funny and deeply moving film.", "A dull, lifeless mess.")


class Machine:
    """An environment on top of this one with caches of its own, and commands run in it."""

    def __init__(self, work: Path, name: str) -> None:
        self.work, self.name = work, name
        self.python = layered(work / name)
        mine = {
            key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUB_"))
        }
        self.env = mine | {
            "HUB_CORE_CACHE": str(work / f"{name}-cache"),
            "HF_HOME": str(work / f"{name}-hf"),
            "HF_HUB_OFFLINE": "1",
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONUTF8": "1",
            "COLUMNS": "100",
        }

    def does(self, line: str, code: int = 0) -> str:
        """Print a command and what it prints; stop where it ends otherwise than with ``code``."""
        print(f"\n[{self.name}] $ {line}", flush=True)
        said = run(shlex.split(line.replace("\\\n", " ")), self.work, self.python, self.env, code)
        print(said.rstrip(), flush=True)
        return said


def follow(machine: Machine) -> None:
    """Take every step of the walk-through, and compare what is printed with what it shows."""
    for step in steps():
        if isinstance(step, File):
            print(f"\n[{machine.name}] {step.path}: {len(step.text.splitlines())} lines")
            step.write(machine.work)
        elif not step.prints(machine.does(step.line)):
            sys.exit(f"CONTRIBUTING.md shows something else for: {step.line}")


def stage(work: Path) -> None:
    """Put sentences and a pre-trained model where the walk-through has them."""
    sys.path.insert(0, str(ROOT / "examples"))
    from backbone import place

    (work / "examples").mkdir()
    with (ROOT / "examples" / "movies.csv").open(encoding="utf-8") as file:
        rows = next(file) + "".join(islice(file, 0, None, EVERY))
    (work / "examples" / "movies.csv").write_text(rows, encoding="utf-8")
    place(work / ".demo" / "all-MiniLM-L6-v2")


@contextmanager
def served(work: Path, env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run a Hub of one's own, and give the settings by which machines reach it."""
    command = [sys.executable, "-m", "hub_core", "serve", "--dir", str(work / "hub"), "--port", "0"]
    print("\n[server] $ hub serve --dir hub --port 0 &", flush=True)
    process = subprocess.Popen(command, env=dict(env), stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline().strip() for _ in range(2)]
        print("\n".join(lines), flush=True)
        yield dict(line.removeprefix("export ").split("=", 1) for line in lines)
    finally:
        process.terminate()
        process.wait()


def publish_and_pull(first: Machine, second: Machine, server: Mapping[str, str]) -> None:
    """Publish from one machine; pull on the other, which lacks the plugin, then has it."""
    for machine in (first, second):
        machine.env |= {**server, "HF_HUB_OFFLINE": "0"}
    asked = shlex.join(SENTENCES)
    here = first.does(f"hub predict out {asked} --json")
    first.does(f"hub push out {NAME} --with-backbone --license apache-2.0")
    refused = second.does(f"hub predict {NAME} {asked} --json", code=1)
    if "hub-centralize" not in refused:
        sys.exit("the second machine was not told which plugin it lacks")
    second.does("python -m pip install --quiet dist/hub_centralize-0.1.0-py3-none-any.whl")
    there = second.does(f"hub predict {NAME} {asked} --json")
    if predictions(here) != predictions(there):
        sys.exit("the predictions differ")


def predictions(said: str) -> list[str]:
    """Return the lines of JSON among messages."""
    return [line for line in said.splitlines() if line.startswith("{")]


def main() -> None:
    """Go the whole way and say so."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="third-party-") as place:
        work = Path(place)
        stage(work)
        first = Machine(work, "first")
        follow(first)
        with served(work, first.env) as server:
            publish_and_pull(first, Machine(work, "second"), server)
    seconds = time.perf_counter() - started
    print(
        f"\nA plugin was made, checked, built, installed and trained with; the artifact was "
        f"published, refused where the plugin was missing, and predicts the same where it was "
        f"installed: {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
