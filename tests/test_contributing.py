"""CONTRIBUTING.md's plugin works word for word: its files, its commands, what they print."""

import csv
import importlib.util
import os
import sys
from pathlib import Path

import pytest
import tinymodels
import toydata

TOOLS = Path(__file__).resolve().parent.parent / "tools"
spec = importlib.util.spec_from_file_location("walkthrough", TOOLS / "walkthrough.py")
walkthrough = sys.modules["walkthrough"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(walkthrough)
STEPS = walkthrough.steps()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder but for what the text says is there: sentences and a model."""
    root = tmp_path_factory.mktemp("contributing")
    (root / "examples").mkdir()
    with (root / "examples" / "movies.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(toydata.labelled())
    tinymodels.save("bert", root / ".demo" / "all-MiniLM-L6-v2")
    return root


@pytest.fixture(scope="module")
def machine(folder, tmp_path_factory):
    """The Python of an environment of its own, and what its processes see."""
    python = walkthrough.layered(tmp_path_factory.mktemp("environment") / "venv")
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HUB_PLUGINS")}
    return python, env | {
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONUTF8": "1",
        "COLUMNS": "100",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def said(folder, machine):
    """What every command of the text printed, all of them run in order."""
    python, env = machine
    found = []
    for step in STEPS:
        if isinstance(step, walkthrough.File):
            step.write(folder)
        else:
            found.append((step, step.run(folder, python, env)))
    return found


def test_the_text_shows_four_files_and_the_way_from_new_to_entry():
    files = [step.path for step in STEPS if isinstance(step, walkthrough.File)]
    assert files == [
        "hub-centralize/hub_centralize/plugin.py",
        "hub-centralize/hub_centralize/options.py",
        "hub-centralize/hub_centralize/part.py",
        "hub-centralize/tests/test_hub_centralize.py",
    ]
    lines = [step.line for step in STEPS if isinstance(step, walkthrough.Command)]
    assert [" ".join(line.split()[:3]) for line in lines] == [
        "hub plugins new",
        "hub plugins check",
        "python -m pip",
        "python -m pip",
        "hub show centralize",
        "hub train --data",
        "hub predict out",
        "hub plugins entry",
    ]


def test_its_method_fits_into_forty_lines():
    files = [step for step in STEPS if isinstance(step, walkthrough.File)]
    changed = [s for s in files if "/tests/" not in s.path]
    code = [line for s in changed for line in s.text.splitlines() if line.strip()]
    assert len(code) <= 40


def test_every_command_prints_what_the_text_shows(said):
    wrong = [(step.line, step.output, output) for step, output in said if not step.prints(output)]
    assert wrong == []


def test_nothing_was_installed_here(said):
    assert importlib.util.find_spec("hub_centralize") is None


def test_the_method_changes_training(said, folder, machine):
    python, env = machine
    [train] = [step.line for step, _ in said if step.line.startswith("hub train")]
    again = train.replace("centralize.share=0.5", "centralize.share=0").replace(
        "out out", "out off"
    )
    walkthrough.Command(again, "").run(folder, python, env)
    logs = [(folder / f"{name}.run" / "train.jsonl").read_text("utf-8") for name in ("out", "off")]
    assert logs[0] != logs[1]


def test_who_lacks_the_plugin_is_told_its_name(said, folder, machine):
    env = machine[1]
    words = ["hub", "predict", "out", "A warm, funny film."]
    answer = walkthrough.run(words, folder, Path(sys.executable), env, code=1)
    assert "hub-centralize" in answer


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("a\n…\nb", "a\nx\ny\nb\n", True),
        ("a … s", "a 12.3 s", True),
        ("a", "a\nb", False),
        ("a   b\n  c", "a b\nc", True),
        ("a+", "aa", False),
        ("", "", True),
    ],
)
def test_three_dots_stand_for_anything_and_nothing_else_does(shown, output, same):
    assert walkthrough.Command("hub", shown).prints(output) is same
