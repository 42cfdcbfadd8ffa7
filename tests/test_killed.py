"""A process that is killed at any moment resumes to the same bits, and leaves no half artifact."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import toydata


def command(folder, out, *more):
    return [sys.executable, "-m", "hub_core", "train", str(folder / "recipe.toml"), "--out",
            str(folder / out), "-q", *more]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recipe that takes some seconds, its data, and the straight run."""
    root = tmp_path_factory.mktemp("killed")
    rows = "".join(json.dumps(row) + "\n" for row in toydata.labelled(200))
    (root / "data.jsonl").write_text(rows, encoding="utf-8")
    (root / "recipe.toml").write_text(
        """
        strategies = ["lora", "toy-range"]
        [backbone]
        name = "toy-encoder"
        [tasks.mood]
        head = { name = "classification", dropout = 0.3 }
        data = "data.jsonl"
        [training]
        epochs = 6
        precision = "fp32"
        batch_examples = 4
        checkpoint_steps = 7
        """,
        encoding="utf-8",
    )
    subprocess.run(command(root, "straight"), check=True, timeout=120)
    return root


def files_of(folder):
    manifest = json.loads((folder / "hub.json").read_text())
    return {name: file["sha256"] for name, file in manifest["files"].items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_twice_and_resumed_is_as_if_never_stopped(folder, seed):
    out = f"killed-{seed}"
    run = folder / f"{out}.run"
    chance = random.Random(seed)
    more = []
    for _ in range(2):
        process = subprocess.Popen(command(folder, out, *more))
        deadline = time.monotonic() + 60
        while not (run / "checkpoint").is_dir() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        process.wait(timeout=60)
        more = ["--resume"]
    if not (folder / out / "hub.json").is_file():  # it may have been faster than the second kill
        subprocess.run(command(folder, out, "--resume"), check=True, timeout=120)
    assert files_of(folder / out) == files_of(folder / "straight")
    lines = [(folder / f"{name}.run" / "train.jsonl").read_text() for name in (out, "straight")]
    assert lines[0] == lines[1]
    assert [p.name for p in folder.iterdir() if p.name.startswith(f".{out}.")] == []
