"""Sharing: ``hub push`` and ``hub pull`` against ``hf upload`` and ``hf download``; bytes moved.

    python benchmarks/sharing.py [--rounds N] [--results FILE] [--only-show]

Whole processes on loopback, hashing included, for an artifact of about 90 MB. Every round starts
``hub serve`` in a fresh folder for each side, and clients in fresh caches; ratios are medians of
paired rounds. Bytes are counted by a proxy between client and server, both ways, headers included.
A round that is in the file is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from counting import Counting
from kept import Kept

HERE = Path(__file__).parent
ROOT = HERE.parent
WORK = HERE / "results" / "sharing.run"
SCRIPTS = Path(sys.executable).parent
HUB, HF = str(SCRIPTS / "hub"), str(SCRIPTS / "hf")
ROWS = 40
"""Sentences of each label that the artifacts are trained on; what they have learned is not used."""
GOALS = {"push": 1.3, "push, picture drawn before": 1.3, "pull": 1.3}
"""Seconds of hub as a multiple of those of hf."""
MOST_TO_INSPECT = 100_000
MOST_BESIDE = 1.1
"""Bytes to inspect a repository; bytes to pull an adapter, as a multiple of those of its files."""

LISTING = """
import json, sys
from hub_core.cli import main
code = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


# -- processes


def environment(cache: Path, address: str = "") -> dict[str, str]:
    """Return what a client gets: caches of its own, and nothing else to ask than our server."""
    own = {
        "HUB_CORE_CACHE": str(cache / "hub-core"),
        "HF_HOME": str(cache / "huggingface"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "OMP_NUM_THREADS": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return kept | own | ({"HF_ENDPOINT": address} if address else {})


def run(command: list[str], variables: Mapping[str, str]) -> tuple[float, str]:
    """Return the seconds and the messages of a whole process, which must succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=dict(variables))
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return seconds, done.stderr


@contextmanager
def server() -> Iterator[str]:
    """Give the address of a Hub that holds nothing yet."""
    folder = WORK / "server"
    shutil.rmtree(folder, ignore_errors=True)
    command = [HUB, "serve", "--dir", str(folder), "--port", "0"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    assert serving.stdout is not None
    try:
        yield serving.stdout.readline().strip().removeprefix("export HF_ENDPOINT=")
    finally:
        serving.terminate()
        serving.wait()
        serving.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh(name: str) -> Iterator[Path]:
    """Give a cache folder that is empty."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


# -- artifacts


def trained(strategy: str) -> Path:
    """Return an artifact, trained once; its proof is remembered in the cache of who pushes."""
    folder = WORK / strategy
    if not (folder / "hub.json").is_file():
        sys.path.insert(0, str(ROOT / "examples"))
        from backbone import place

        data = WORK / "rows.csv"
        data.write_text("\n".join(_rows()) + "\n", encoding="utf-8")
        run([HUB, "train", "--data", str(data), "--task", "sentiment", "--head", "classification",
             "--backbone", str(place(WORK / "all-MiniLM-L6-v2")), "--strategy", strategy,
             "--epochs", "1", "--out", str(folder), "--overwrite"],
            environment(WORK / "author"))  # fmt: skip
    return folder


def _rows() -> list[str]:
    title, *lines = (ROOT / "examples" / "movies.csv").read_text("utf-8").splitlines()
    words = ("positive", "negative")
    return [title, *(line for word in words for line in _with(lines, f",{word},")[:ROWS])]


def _with(lines: list[str], text: str) -> list[str]:
    return [line for line in lines if text in line]


def bytes_in(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# -- measuring


def one_round(number: int, artifact: Path) -> dict[str, dict[str, float]]:
    """Return seconds by what was done and by side; who begins changes from round to round."""
    found: dict[str, dict[str, float]] = {name: {} for name in GOALS}
    sides = [_ours, _theirs] if number % 2 else [_theirs, _ours]
    for side in sides:
        side(number, artifact, found)
    return found


def _ours(number: int, artifact: Path, found: dict[str, dict[str, float]]) -> None:
    author = WORK / "author"
    with server() as address:
        name = f"bench/ours-{number}"
        push = [HUB, "push", str(artifact), name]
        shutil.rmtree(author / "hub-core" / "hub-core" / "pictures", ignore_errors=True)
        found["push"]["hub"] = run(push, environment(author, address))[0]
        pulls = {"hub": [HUB, "pull", name], "hf": [HF, "download", name]}
        for side in sorted(pulls, reverse=number % 2 == 0):
            with fresh("reader") as reader:
                found["pull"][side] = run(pulls[side], environment(reader, address))[0]
    with server() as address:
        seconds, _ = run(push, environment(author, address))
        found["push, picture drawn before"]["hub"] = seconds


def _theirs(number: int, artifact: Path, found: dict[str, dict[str, float]]) -> None:
    upload = [HF, "upload", f"bench/theirs-{number}", str(artifact)]
    for name in ("push", "push, picture drawn before"):
        with server() as address:
            found[name]["hf"] = run(upload, environment(WORK / "author", address))[0]


def inspected(artifact: Path) -> dict[str, Any]:
    """Return the bytes that ``hub inspect`` of a repository moves, and whether it imports torch."""
    with server() as address, fresh("reader") as reader, Counting(address) as counting:
        run([HUB, "push", str(artifact), "bench/ours"], environment(WORK / "author", address))
        command = [sys.executable, "-c", LISTING, "inspect", "bench/ours"]
        _, told = run(command, environment(reader, counting.address))
        modules = set(json.loads(told.splitlines()[-1]))
        return {"bytes": counting.moved, "torch": "torch" in modules}


def adapter(artifact: Path) -> dict[str, Any]:
    """Return the bytes of pulling and using an adapter, without and with its backbone cached."""
    found: dict[str, Any] = {"files": bytes_in(artifact)}
    with server() as address, fresh("reader") as reader, Counting(address) as counting:
        run([HUB, "push", str(artifact), "bench/adapter", "--with-backbone"],
            environment(WORK / "author", address))  # fmt: skip
        variables = environment(reader, counting.address)
        for name in ("nothing cached", "backbone cached"):
            shutil.rmtree(reader / "hub-core", ignore_errors=True)  # not what transformers cached
            before = counting.moved
            run([HUB, "pull", "bench/adapter"], variables)
            run([HUB, "predict", "bench/adapter", "A warm, funny film."], variables)
            found[name] = counting.moved - before
    return found


def measure(results: Kept, rounds: int) -> None:
    """Measure what is missing, after a round that only warms the disk's cache."""
    whole = trained("full")
    if any(f"round {number}" not in results.runs for number in range(1, rounds + 1)):
        one_round(0, whole)
    for number in range(1, rounds + 1):
        results.get(f"round {number}", lambda number=number: one_round(number, whole))
    results.get("size", lambda: {"bytes": bytes_in(whole)})
    results.get("inspect", lambda: inspected(whole))
    results.get("adapter", lambda: adapter(trained("lora")))


# -- showing


def verdict(met: bool) -> str:
    """Return how a goal is told."""
    return "met" if met else "MISSED"


def show(runs: Mapping[str, dict[str, Any]]) -> None:
    """Print seconds and bytes beside goals."""
    rounds = [found for name, found in runs.items() if name.startswith("round ")]
    size = f"{runs['size']['bytes']:,} bytes, " if "size" in runs else ""
    print(f"{size}whole processes on loopback, {len(rounds)} rounds")
    print(f"{'':28}{'hub s':>8}{'hf s':>8}{'ratio':>8}{'goal':>8}")
    for name, goal in GOALS.items() if rounds else ():
        own, other = ([found[name][side] for found in rounds] for side in ("hub", "hf"))
        ratio = statistics.median(a / b for a, b in zip(own, other, strict=True))
        print(f"{name:28}{statistics.median(own):8.2f}{statistics.median(other):8.2f}{ratio:7.2f}x"
              f"{goal:7.1f}x {verdict(ratio <= goal)}")  # fmt: skip
    if "inspect" in runs:
        _show_inspect(runs["inspect"])
    if "adapter" in runs:
        _show_adapter(runs["adapter"])


def _show_inspect(found: Mapping[str, Any]) -> None:
    moved = found["bytes"]
    print(f"hub inspect OWNER/NAME moves {moved:,} bytes, goal {MOST_TO_INSPECT:,} "
          f"{verdict(moved < MOST_TO_INSPECT)}")  # fmt: skip
    print(f"hub inspect imports {'torch' if found['torch'] else 'no torch'}, goal none "
          f"{verdict(not found['torch'])}")  # fmt: skip


def _show_adapter(found: Mapping[str, int]) -> None:
    files, moved = found["files"], found["backbone cached"]
    print(f"hub pull and hub predict of an adapter, {files:,} bytes, move "
          f"{found['nothing cached']:,} bytes;")  # fmt: skip
    print(f"  with its backbone cached {moved:,}, {moved / files:.3f}x of the adapter, "
          f"goal {MOST_BESIDE:.1f}x {verdict(moved <= MOST_BESIDE * files)}")  # fmt: skip


def main() -> None:
    """Measure what is missing, unless told not to, and print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "sharing.json")
    parser.add_argument("--only-show", action="store_true", help="run nothing")
    options = parser.parse_args()
    setting = {"sentences": 2 * ROWS, "hub-core": metadata.version("hub-core"),
               "huggingface_hub": metadata.version("huggingface_hub")}  # fmt: skip
    results = Kept(options.results, setting)
    WORK.mkdir(parents=True, exist_ok=True)
    if not options.only_show:
        measure(results, options.rounds)
    show(results.runs)


if __name__ == "__main__":
    main()
