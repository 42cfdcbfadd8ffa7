"""Looking, pulling and publishing import nothing heavy, and looking moves next to nothing."""

import os
import shutil
import subprocess
import sys

import pytest
from sharing import NAME, hub, proven
from test_publish import files_of
from test_pull import ARTIFACTS, commit

WATCHED = """
import sys
from hub_core.cli import main
code = main(sys.argv[1:])
heavy = ("torch", "transformers", "peft", "datasets")
print("heavy:", *[name for name in heavy if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def artifact(running, tmp_path):
    return shutil.copytree(ARTIFACTS / "whole-plain", tmp_path / "out")


def watched(running, tmp_path, *arguments):
    """Run a command in a process of its own; it must succeed and import nothing heavy."""
    environment = os.environ | {
        "HF_ENDPOINT": running.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf-home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, arguments)], cwd=tmp_path, env=environment,
        capture_output=True, encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "heavy:"
    return done.stdout


@pytest.mark.parametrize("name", ["whole-plain", "delta-lora"])
def test_inspect_imports_nothing_heavy_and_moves_less_than_100_kb(running, tmp_path, name):
    head = commit(running, ARTIFACTS / name)
    before = running.app.sent
    told = watched(running, tmp_path, "inspect", NAME)
    assert told.startswith(f"repository  {NAME}@{head}\n")
    assert 0 < running.app.sent - before < 100_000


def test_inspect_of_what_others_wrote_imports_nothing_heavy(running, tmp_path):
    adapter = ARTIFACTS / "delta-lora"
    names = ("adapter_config.json", "adapter_model.safetensors")
    commit(running, name="team/adapter", **{name: (adapter / name).read_bytes() for name in names})
    told = watched(running, tmp_path, "inspect", "team/adapter")
    assert "adapter of PEFT; its base model is fetched\n" in told


def test_pull_imports_nothing_heavy(running, artifact, tmp_path):
    commit(running, artifact)
    watched(running, tmp_path, "pull", NAME, "--to", "copy")
    for path in (tmp_path / "copy").iterdir():
        assert path.read_bytes() == (artifact / path.name).read_bytes()


def test_search_and_lock_import_nothing_heavy(running, artifact, tmp_path):
    commit(running, artifact)
    watched(running, tmp_path, "search", "--all")
    watched(running, tmp_path, "lock", NAME)
    assert (tmp_path / "hub.lock").is_file()


def test_push_of_what_was_proven_on_this_machine_imports_nothing_heavy(running, artifact, tmp_path):
    proven(artifact)
    told = watched(running, tmp_path, "push", "out", NAME, "--license", "mit")
    assert told.splitlines()[0] == f"Published {running.url}/{NAME}"
    assert {"README.md", "hub.json", "model.safetensors"} <= files_of(running)
    again = watched(running, tmp_path, "push", "out", NAME, "--license", "mit", "--tag", "v1")
    assert again.startswith("Nothing to publish: ")


def test_push_whose_backbone_others_find_imports_nothing_heavy(running, tmp_path, capsys):
    from hub_core import manifest

    base = commit(running, ARTIFACTS / "backbone", name="team/base")
    folder = shutil.copytree(ARTIFACTS / "delta-lora", tmp_path / "out")
    content = manifest.read(folder)
    hint = content.backbone.model_copy(update={"hint": f"team/base@{base}"})
    manifest.write(folder, content.model_copy(update={"backbone": hint}))
    proven(folder)
    watched(running, tmp_path, "push", "out", NAME)
    told, _ = hub(capsys, "inspect", NAME)
    assert f"on the Hub      team/base@{base}\n" in told
