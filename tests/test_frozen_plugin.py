"""A plugin that was built once, for hub-core 0.1.0, goes on to work with every later core.

Its wheel lies in ``tests/data/frozen-plugin`` and is never built again. It writes every method
that a part, a head and a backbone had then.
"""

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hub_core.scaffold.visible import unpacked

HERE = Path(__file__).parent
KEPT = HERE / "data" / "frozen-plugin"
WHEEL = KEPT / "hub_frozen-0.1.0-py3-none-any.whl"
PUBLIC = {"declare", "errors", "identity", "model", "options", "part", "spec"}
ADDITIONS = ("hook-argument", "methods", "fields")


def use(folder, *growths):
    """Train, resume and load with the plugin; return what came out, and what was told of it."""
    with unpacked(WHEEL) as env:
        env["PYTHONPATH"] += os.pathsep + str(HERE)
        done = subprocess.run(
            [sys.executable, "-m", "frozen", str(folder), *growths],
            env=env, capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if re.search("frozen|hook", line)]
    return json.loads(done.stdout.splitlines()[-1]), told


@pytest.fixture(scope="module")
def today(tmp_path_factory):
    return use(tmp_path_factory.mktemp("today"))


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    return use(tmp_path_factory.mktemp("grown"), *ADDITIONS)


@pytest.fixture(scope="module")
def renamed(tmp_path_factory):
    return use(tmp_path_factory.mktemp("renamed"), "renamed")


# -- it is what was frozen


def test_the_wheel_is_the_one_that_was_built():
    [kept] = re.findall(r"\b[0-9a-f]{64}\b", (KEPT / "README.md").read_text("utf-8"))
    assert hashlib.sha256(WHEEL.read_bytes()).hexdigest() == kept


def test_the_source_beside_it_is_what_is_in_it():
    with zipfile.ZipFile(WHEEL) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        code = {name: archive.read(name).decode("utf-8") for name in names}
    source = KEPT / "source"
    kept = {p.relative_to(source).as_posix(): p.read_text("utf-8") for p in source.rglob("*.py")}
    assert kept == code


def test_it_uses_public_modules_only():
    trees = [ast.parse(p.read_text("utf-8")) for p in (KEPT / "source").rglob("*.py")]
    used = {
        node.module
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("hub_core")
    }
    assert used == {f"hub_core.{name}" for name in PUBLIC}


# -- it works with the core as it is


def test_it_is_listed_trains_resumes_and_loads_in_a_fresh_process(today):
    found, told = today
    assert found["plugins"] == [["0.1.0", "ok", ""]]
    losses = [epoch["loss"] for epoch in found["history"]]
    assert losses[-1] < losses[0]
    assert found["same"]
    assert told == []


def test_what_its_parts_decided_and_counted_is_in_the_artifact(today):
    report = today[0]["report"]
    assert report["frozen-mask.zeros"] == 0.5
    [best] = [epoch for epoch in today[0]["history"] if epoch.get("best")]
    assert best["stage"] == "second"  # it says that no model of the first can be served
    assert report["frozen-shift.steps"] == best["step"]


# -- and with a core that has grown


def test_additions_to_the_core_change_nothing_for_it(today, grown):
    same = ("plugins", "history", "report", "predictions", "same")
    assert {name: grown[0][name] for name in same} == {name: today[0][name] for name in same}
    assert grown[1] == []


def test_the_core_really_had_grown_there(today, grown):
    assert today[0]["asked"] == []
    hooks = {"hub_backbones", "hub_heads", "hub_strategies", "hub_compressors"}
    asked = {"FrozenStack", "FrozenLabel", "FrozenShift", "FrozenMask"}
    handed = {"Method", "Task", "Column", "Layout", "Stage", "Clock", "Context", "Identity", "Row",
              "Batch", "Encoded", "Output", "Tokens", "Losses", "ParameterOptions"}  # fmt: skip
    assert set(grown[0]["asked"]) == hooks | asked | handed


def test_a_name_that_was_changed_works_on_and_is_told_once(today, renamed):
    assert renamed[0]["asked"] == ["after_step"]
    assert renamed[0]["history"] == today[0]["history"]
    assert renamed[0]["report"] == today[0]["report"]
    assert renamed[1] == [
        "hub-frozen 0.1.0 uses Part.on_step_end, which goes in hub-core 0.3; "
        "Part.after_step takes its place"
    ]
