"""Training starts from an artifact on the Hub: pinned, listed, checked, and named in lineage."""

import json
import shutil

import pytest
import toydata
from hubs import changed
from huggingface_hub import constants
from sharing import NAME, hub, lines, refused
from test_pull import cached, commit

import hub_core
from hub_core.origin import Origin


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A trained artifact, with a file beside it that nobody listed."""
    folder = tmp_path_factory.mktemp("first") / "out"
    recipe = toydata.recipe(strategies=["lora"])
    hub_core.train(recipe, toydata.labelled(48), out=folder, prove=False)
    (folder / "not-listed.bin").write_bytes(b"something else")
    return folder


@pytest.fixture
def artifact(running, first, tmp_path, monkeypatch):
    """A copy that may be damaged before it is published; new data lie in this folder."""
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "data.jsonl", toydata.labelled(48, seed=5))
    return shutil.copytree(first, tmp_path / "first")


def train():
    """Return the manifest of what was trained from the name."""
    rows = toydata.labelled(48, seed=5)
    recipe = {"training": {"epochs": 1}}
    return hub_core.train(recipe, rows, start=NAME, out="out", prove=False).manifest


def fetched(running):
    """Return the names of the files that were fetched."""
    return sorted(p.rpartition("/")[2] for _, p, _ in running.app.asked if "/resolve/" in p)


ARGUMENTS = ["--data", "data.jsonl", "--epochs", "1", "--out", "out"]


def refuses(capsys, tmp_path, name=NAME):
    """Return what a training prints that must not begin."""
    told = refused(capsys, "train", "--from", name, *ARGUMENTS)
    assert not (tmp_path / "out").exists()
    assert cached() == []
    return told


def test_the_command_goes_on_from_a_name_and_says_from_which_commit(
    running, artifact, capsys, tmp_path
):
    head = commit(running, artifact)
    out, _ = hub(capsys, "train", "--from", NAME, *ARGUMENTS)
    assert "\nproof  " in out
    [step] = json.loads((tmp_path / "out" / "hub.json").read_text("utf-8"))["lineage"]
    assert step["from"]["name"] == f"{NAME}@{head}"
    assert hub(capsys, "inspect", "out")[0].count(f"{NAME}@{head}") == 1


def test_the_command_goes_on_from_the_locked_commit(running, artifact, capsys, tmp_path):
    first = commit(running, artifact)
    hub(capsys, "lock", NAME)
    commit(running, **{"note.txt": b"newer"})
    hub(capsys, "train", "--from", NAME, *ARGUMENTS)
    [step] = json.loads((tmp_path / "out" / "hub.json").read_text("utf-8"))["lineage"]
    assert step["from"]["name"] == f"{NAME}@{first}"


@pytest.mark.parametrize("revision", ["", "@main", "@v1", "@refs/heads/main", "@{head}"])
def test_every_way_to_name_a_commit_is_kept_as_the_commit(running, artifact, revision):
    head = commit(running, artifact)
    running.api().create_tag(NAME, tag="v1", revision=head)
    origin = Origin.open(NAME + revision.format(head=head))
    assert (origin.address, origin.name) == (f"{NAME}@{head}", f"{NAME}@{head}")


def test_only_what_hub_json_lists_is_fetched(running, artifact):
    commit(running, artifact)
    running.app.asked.clear()
    train()
    listed = json.loads((artifact / "hub.json").read_text("utf-8"))["files"]
    assert fetched(running) == sorted([*listed, "hub.json"])


def test_what_was_fetched_is_not_fetched_again(running, artifact):
    commit(running, artifact)
    Origin.open(NAME)
    running.app.asked.clear()
    Origin.open(NAME)
    assert fetched(running) == []


def test_the_lineage_names_a_hub_json_that_its_commit_keeps(running, artifact):
    head = commit(running, artifact)
    before = train()
    commit(running, **{"LICENSE": b"newer"})
    pinned = Origin.open(f"{NAME}@{head}")
    assert before.lineage[0]["from"]["hub.json"] == pinned.sha256


def test_the_lineage_tells_no_place_of_this_machine(running, artifact, tmp_path):
    commit(running, artifact)
    assert str(tmp_path) not in json.dumps(train().lineage)


def test_a_changed_file_is_refused(running, artifact, capsys, tmp_path):
    file = artifact / "head.main.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    head = commit(running, artifact)
    assert refuses(capsys, tmp_path) == (
        f"Error: {NAME}@{head[:12]} is not what was published:\n"
        "  - head.main.safetensors has another sha256 than hub.json says\n"
        "Hint: take another revision, or tell its owner\n"
    )


def test_a_file_that_was_changed_here_is_refused(running, artifact, capsys, tmp_path):
    commit(running, artifact)
    folder = Origin.open(NAME).folder
    file = folder / "head.main.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    told = refused(capsys, "train", "--from", NAME, *ARGUMENTS)
    assert told.startswith(f"Error: {folder} is not what was saved:\n  - head.main.safetensors has")
    assert told.endswith("Hint: take the artifact again from where it came\n")
    assert not (tmp_path / "out").exists()


def test_a_name_that_the_hub_does_not_have_is_one_sentence(running, artifact, capsys, tmp_path):
    assert refuses(capsys, tmp_path, "team/other") == (
        "Error: team/other does not exist on the Hub, or is private to others\n"
        "Hint: check the name; if it is private, log in with 'hub login', or ask its owner for "
        "access\n"
    )


def test_a_repository_without_a_manifest_is_no_artifact(running, artifact, capsys, tmp_path):
    commit(running, **{"notes.txt": b"x", "head.safetensors": b"y"})
    told = refuses(capsys, tmp_path)
    assert told.startswith("Error: this is neither an artifact of hub-core nor of a kind that ")
    assert told.splitlines()[0].endswith(
        "it holds '.gitattributes', 'head.safetensors', 'notes.txt'"
    )


def test_a_commit_that_is_none_never_becomes_a_folder(running, artifact, capsys, tmp_path):
    commit(running, artifact)
    lie = changed(lambda body: json.dumps(json.loads(body) | {"sha": "../../elsewhere"}).encode())
    running.app.rule("GET", f"/api/models/{NAME}", lie)
    assert refuses(capsys, tmp_path) == (
        f"Error: {running.url} gives commit '../../elsewhere', which is no hash\n"
        "Hint: do not use this Hub before its owner has explained that\n"
    )


def test_without_a_server_the_error_says_what_to_do(running, artifact, capsys, tmp_path):
    running.stop()
    told = refuses(capsys, tmp_path)
    assert told.startswith(f"Error: {NAME}: the Hub cannot be reached: ")
    assert told.endswith("\nHint: check your connection and HF_ENDPOINT, then try again\n")


def test_without_a_server_what_was_fetched_is_trained_from(running, artifact, monkeypatch):
    head = commit(running, artifact)
    Origin.open(NAME)
    running.stop()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert train().lineage[0]["from"]["name"] == f"{NAME}@{head}"


def test_a_folder_comes_before_a_name(running, artifact, tmp_path):
    commit(running, artifact)
    shutil.copytree(artifact, tmp_path / NAME)
    running.app.asked.clear()
    assert Origin.open(NAME).address == ""
    assert running.app.asked == []
