"""Ctrl-C and SIGTERM finish the step, save it and say how to go on; nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import toydata

import hub_core
from hub_core.interrupts import deferred


def test_a_first_signal_is_noted_and_a_second_one_stops():
    with deferred() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_somebody_else_stay():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with deferred() as asked:
            signal.raise_signal(signal.SIGTERM)
            assert not asked()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_other_threads_are_left_alone():
    found = []

    def inside():
        with deferred() as asked:
            found.append(asked())

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False]


def recipe():
    return toydata.recipe(strategies=["lora", "toy-range"], epochs=3)


@pytest.mark.parametrize("step", [2, 12, 10], ids=["first-epoch", "later", "end-of-an-epoch"])
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, step):
    data = toydata.labelled(100)
    straight = hub_core.train(recipe(), data, out=tmp_path / "a", prove=False)
    seen = []

    def report(event, figures):
        if event == "step":
            seen.append(figures["step"])
            if figures["step"] == step:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        hub_core.train(recipe(), data, out=tmp_path / "b", report=report, prove=False)
    assert seen[-1] == step
    resumed = hub_core.train(recipe(), data, out=tmp_path / "b", resume=True, prove=False)
    assert resumed.history == straight.history
    files = {n: f.sha256 for n, f in straight.manifest.files.items()}
    assert {n: f.sha256 for n, f in resumed.manifest.files.items()} == files


@pytest.mark.skipif(os.name != "posix", reason="signals of other processes are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_saves_and_prints_how_to_resume(tmp_path, number):
    rows = "".join(json.dumps(row) + "\n" for row in toydata.labelled(200))
    (tmp_path / "data.jsonl").write_text(rows, encoding="utf-8")
    command = [sys.executable, "-m", "hub_core", "train", "--data", "data.jsonl", "--backbone",
               "toy-encoder", "--head", "classification", "--strategy", "lora", "--epochs", "500",
               "--out", "out"]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    log = tmp_path / "out.run" / "train.jsonl"
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted." in told
    again = next(line for line in told.splitlines() if line.startswith("Go on with: hub "))
    assert again.endswith("--out out --resume")
    stored = json.loads((tmp_path / "out.run" / "checkpoint" / "run.json").read_text())
    assert stored["state"]["total"] > 0
