"""One task of several becomes an artifact of its own, and predicts what it predicted before."""

import json

import pytest
import quick
import toydata
from click.testing import CliRunner
from test_cli import printed, run

import hub_core
from hub_core import manifest
from hub_core.cli.root import hub
from hub_core.errors import ArtifactError, FormatError, IntegrityError
from hub_core.extract import extract
from hub_core.remote.pull import Pulled
from hub_core.state import load_tensors, save_tensors

TEXTS = [row["text"] for row in toydata.labelled(12, seed=8)]
DATA = {
    "mood": toydata.labelled(40),
    "strength": toydata.scored(24),
    "topics": toydata.several(32),
}
HEADS = {"mood": "classification", "strength": "regression", "topics": "multi-label"}


def tasks(**values):
    values = toydata.recipe(**values)
    return {**values, "tasks": {name: {"head": head} for name, head in HEADS.items()}}


@pytest.fixture(scope="module", params=["delta", "whole", "int8", "wrapped"])
def three(request, tmp_path_factory):
    """A folder with three tasks of different kinds and sizes, trained."""
    own = {
        "delta": {"strategies": ["lora"], "learning_rate": 1e-2},
        "whole": {"strategies": ["full"]},
        "int8": {"strategies": ["lora"], "compressors": ["quantize-int8"]},
        "wrapped": {"strategies": ["toy-range", "full"]},
    }
    folder = tmp_path_factory.mktemp(request.param) / "all"
    hub_core.train(tasks(**own[request.param]), DATA, out=folder, prove=False)
    return folder


def test_each_task_alone_predicts_what_it_did_among_the_others(three, tmp_path):
    whole = hub_core.load(three)
    for task in DATA:
        out = tmp_path / task
        extract(three, task, out, prove=False)
        alone = hub_core.load(out)
        assert alone.predict(TEXTS) == whole.predict(TEXTS, task=task)
        assert list(alone.tasks) == list(alone.model.heads) == [task]
        others = {f"head.{name}.safetensors" for name in DATA if name != task}
        assert set(alone.manifest.files) == set(whole.manifest.files) - others


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    values = toydata.recipe(strategies=["lora"])
    values["tasks"] = {"mood": {"head": "classification"}, "topic": {"head": "classification"}}
    return quick.moved(values).saved(tmp_path_factory.mktemp("two") / "both")


def test_the_proof_is_taken_again_in_a_fresh_process(two, tmp_path):
    content = extract(two, "topic", tmp_path / "alone")
    assert manifest.read(two).proof is None
    assert content.proof.rows == len(quick.EXAMPLES)
    assert content.proof.difference == 0
    assert hub_core.verify(tmp_path / "alone").rows == content.proof.rows
    assert manifest.read(tmp_path / "alone") == content


def test_what_hub_json_says_is_of_the_one_task(two, tmp_path):
    content, before = extract(two, "topic", tmp_path / "alone", prove=False), manifest.read(two)
    assert list(content.recipe["tasks"]) == list(content.tasks) == ["topic"]
    assert [m.kind for m in content.methods] == ["backbone", "head", "strategy"]
    head = sum(p.numel() for p in hub_core.load(two).model.head("mood").parameters())
    assert content.parameters == {key: n - head for key, n in before.parameters.items()}
    assert not [name for name in content.tensors if name.startswith("heads.mood")]
    assert content.lineage == [{
        "step": "extract",
        "task": "topic",
        "tasks": ["mood", "topic"],
        "hub.json": manifest.sha256_of(two / manifest.NAME),
    }]  # fmt: skip


def test_the_artifact_that_a_task_comes_from_stays_as_it_is(two, tmp_path):
    before = {path.name: path.read_bytes() for path in two.iterdir()}
    extract(two, "topic", tmp_path / "alone", prove=False)
    assert {path.name: path.read_bytes() for path in two.iterdir()} == before


@pytest.mark.parametrize(
    ("task", "hint"), [("topics", "did you mean 'topic'?"), ("weather", "it has mood, topic")]
)
def test_a_task_that_is_not_there_cannot_be_taken_out(two, tmp_path, task, hint):
    with pytest.raises(ArtifactError) as caught:
        extract(two, task, tmp_path / "alone")
    assert caught.value.message == f"{two} has no task '{task}'"
    assert caught.value.hint == hint
    assert list(tmp_path.iterdir()) == []


def test_the_only_task_cannot_be_taken_out(two, tmp_path):
    extract(two, "topic", tmp_path / "alone", prove=False)
    with pytest.raises(ArtifactError) as caught:
        extract(tmp_path / "alone", "topic", tmp_path / "again")
    assert caught.value.message == f"{tmp_path / 'alone'} has only the task 'topic'"
    assert caught.value.hint == "there is nothing to take out: use it"
    assert [path.name for path in tmp_path.iterdir()] == ["alone"]


def test_a_task_is_never_taken_out_into_a_folder_that_exists(two, tmp_path):
    (tmp_path / "mine").write_text("a letter")
    with pytest.raises(ArtifactError) as caught:
        extract(two, "topic", tmp_path)
    assert caught.value.message == f"{tmp_path} exists already"
    assert caught.value.hint == "choose another folder"
    assert (tmp_path / "mine").read_text() == "a letter"


def test_no_task_is_taken_out_of_what_is_no_artifact(tmp_path):
    with pytest.raises(FormatError) as caught:
        extract(tmp_path / "nothing", "topic", tmp_path / "alone")
    assert caught.value.message == f"there is no folder {tmp_path / 'nothing'}"


def test_nothing_is_left_where_the_task_alone_gives_other_outputs(two, tmp_path, monkeypatch):
    copied = []

    def spoiled(source, target):
        tensors = load_tensors(source)
        copied.append(target.name)
        save_tensors(target, {name: tensor + 1 for name, tensor in tensors.items()})

    monkeypatch.setattr("hub_core.extract.shutil.copyfile", spoiled)
    with pytest.raises(IntegrityError, match=r"^what a fresh process loads gives outputs that"):
        extract(two, "topic", tmp_path / "alone")
    assert "head.topic.safetensors" in copied
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_whose_outputs_have_changed_is_refused(two, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in two.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes())
    probe = load_tensors(damaged / "probe.safetensors")
    save_tensors(damaged / "probe.safetensors", {name: t + 1 for name, t in probe.items()})
    content = manifest.read(damaged)
    files = manifest.describe_files(damaged)
    manifest.write(damaged, content.model_copy(update={"files": files}))
    with pytest.raises(IntegrityError, match="its outputs differ from the saved ones by"):
        extract(damaged, "topic", tmp_path / "alone")
    assert not (tmp_path / "alone").exists()


def test_a_task_is_taken_out_of_an_artifact_on_the_hub(two, tmp_path, monkeypatch):
    monkeypatch.setattr("hub_core.remote.found.pull", lambda *_: Pulled(two, "ada/both@1", True))
    extract("ada/both", "topic", tmp_path / "alone", prove=False)
    assert list(hub_core.load(tmp_path / "alone").tasks) == ["topic"]
    told = CliRunner().invoke(
        hub, ["extract", "ada/both", "--task", "mod", "--out", str(tmp_path / "other")]
    )
    assert told.exception.message == "ada/both has no task 'mod'"
    assert told.exception.hint == "did you mean 'mood'?"


# -- the command


def test_the_command_takes_a_task_out_and_it_predicts_the_same(two, tmp_path):
    out = tmp_path / "topic alone"
    done = run("extract", two, "--task", "topic", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"{out} holds the task topic alone; in a fresh process, the outputs of "
        f"{len(quick.EXAMPLES)} examples are exactly the same\n"
    )
    assert done.stderr == f"\nNext:\n  hub predict '{out}' \"…\"\n"
    before = printed("predict", two, *TEXTS[:3], "--task", "topic", "--json")
    assert printed("predict", out, *TEXTS[:3], "--json") == before


def test_the_command_prints_json(two, tmp_path, monkeypatch):
    proof = manifest.Proof(rows=3, difference=0, tolerance=1e-5, elsewhere=1e-3)
    monkeypatch.setattr("hub_core.proof.prove_in_fresh_process", lambda *_: proof)
    out = tmp_path / "alone"
    told = CliRunner().invoke(
        hub, ["extract", str(two), "--task", "topic", "--out", str(out), "--json"]
    )
    assert json.loads(told.stdout) == {
        "folder": str(out),
        "task": "topic",
        "metrics": {},
        "proof": proof.model_dump(),
        "parameters": manifest.read(out).parameters,
    }


def test_the_command_tells_a_mistake_in_two_lines(two, tmp_path):
    done = run("extract", two, "--task", "topik", "--out", tmp_path / "alone")
    assert done.returncode == 1
    assert done.stderr == f"Error: {two} has no task 'topik'\nHint: did you mean 'topic'?\n"
