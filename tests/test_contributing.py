"""CONTRIBUTING.md's plugin works word for word: its files, its install command, its options."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import toydata

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"^`(hub-focal/[\w./]+)`[^`]*?(?:`[^`\n]*`[^`]*?)*?\n```\w+\n(.*?)```", re.M | re.S
)


def run(*command, cwd, path):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")])
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The plugin, written from the text and installed into a folder of its own."""
    root = tmp_path_factory.mktemp("contributing")
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    files = dict(BLOCK.findall(text))
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    assert sorted(files) == [
        "hub-focal/hub_focal/__init__.py",
        "hub-focal/hub_focal/part.py",
        "hub-focal/hub_focal/plugin.py",
        "hub-focal/pyproject.toml",
    ]
    run("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index",
        "--target", "site", "./hub-focal", cwd=root, path=root)  # fmt: skip
    return root


def test_the_method_is_shown_with_its_option(installed):
    shown = run("-m", "hub_core", "show", "focal-loss", cwd=installed, path=installed / "site")
    assert "Examples that are right already count less" in shown
    assert "gamma" in shown
    assert "how much less; 0 is plain cross-entropy" in shown


def test_it_trains_beside_lora_and_changes_the_loss(installed):
    rows = ["text,label", *(f"{r['text']},{r['label']}" for r in toydata.labelled())]
    (installed / "movies.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    told = {}
    for gamma in ("0", "1"):
        command = ["-m", "hub_core", "train", "--data", "movies.csv", "--backbone", "toy-encoder",
                   "--head", "classification", "--strategy", "lora", "--strategy", "focal-loss",
                   "--set", f"focal-loss.gamma={gamma}", "--precision", "fp32", "--epochs", "1",
                   "--out", f"out{gamma}"]  # fmt: skip
        run(*command, cwd=installed, path=installed / "site")
        told[gamma] = (installed / f"out{gamma}.run" / "train.jsonl").read_text()
    assert told["0"] != told["1"]
    inspected = run("-m", "hub_core", "inspect", "out1", cwd=installed, path=installed / "site")
    assert "hub-focal" in inspected
