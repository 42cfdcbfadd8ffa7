"""Where checks run: with the toys on offer, in a cache of their own, chance left as it was found.

What must be tried in a new process is tried in one that is offered the same plugins.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch

from hub_core import __version__
from hub_core.catalog import Catalog, Plugin, offering

TOYS = Plugin("hub-testing", "hub_core.testing.toys.plugin", "hub-core", __version__)
OTHER_SEED = 987654321


@contextlib.contextmanager
def surrounded(plugins: Sequence[Plugin], cache: Path) -> Iterator[Catalog]:
    """Offer plugins, and leave random numbers, threads and environment as they were.

    Args:
        plugins: What is offered besides the toys and what is installed.
        cache: The folder of small memories for as long as this lasts.
    """
    before = {"HUB_CORE_CACHE": os.environ.get("HUB_CORE_CACHE")}
    threads, chance = torch.get_num_threads(), random.getstate()
    os.environ["HUB_CORE_CACHE"] = str(cache)
    try:
        with offering(TOYS, *plugins) as catalog, torch.random.fork_rng(devices=[]):
            yield catalog
    finally:
        random.setstate(chance)
        torch.set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def environment() -> dict[str, str]:
    """Return the environment of a process that finds the modules that this one finds."""
    places = os.pathsep.join(str(Path(place).resolve()) for place in sys.path if place)
    return os.environ | {"PYTHONPATH": places, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


def in_new_process(*arguments: str, given: str = "") -> str:
    """Run Python with arguments and return what it prints.

    Raises:
        AssertionError: It fails; its last words are in the message.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        encoding="utf-8",
        env=environment(),
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"a new process failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def load_in_new_process(plugins: Sequence[Plugin], folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Load artifacts in one new process, without data and with another seed, and compare.

    Returns:
        For each artifact ``difference`` and ``same``, or ``error``.
    """
    for folder in folders:
        _reseed(folder)
    given = {"plugins": [astuple(p) for p in plugins], "folders": [str(f) for f in folders]}
    answer = in_new_process("-m", "hub_core.testing.fresh", given=json.dumps(given))
    found: list[dict[str, Any]] = json.loads(answer.splitlines()[-1])
    return found


def _reseed(folder: Path) -> None:
    """Give an artifact's recipe another seed: what chance decided must be in its files."""
    path = folder / "hub.json"
    content = json.loads(path.read_text("utf-8"))
    content["recipe"].setdefault("training", {})["seed"] = OTHER_SEED
    path.write_text(json.dumps(content), encoding="utf-8")
