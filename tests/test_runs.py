"""What a run leaves on the disk comes back as it was, or is refused with a sentence."""

import errno
import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toydata
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import hub_core
from hub_core import state
from hub_core.errors import ArtifactError, IntegrityError, TrainingError
from hub_core.folders import new_folder, recover, write_json
from hub_core.recipe import parse
from hub_core.runs import Run
from hub_core.state import join, load_tensors, save_tensors, split

# -- state as JSON and tensors


def through_files(tree, folder):
    """Split, write, read and join."""
    tensors = {}
    skeleton = split(tree, tensors)
    save_tensors(folder / "tensors.safetensors", tensors)
    write_json(folder / "state.json", skeleton)
    read = json.loads((folder / "state.json").read_text("utf-8"))
    return join(read, load_tensors(folder / "tensors.safetensors"))


def alike(one, two):
    """Whether two trees are equal in values and in types; nan is nan, names have no order."""
    if type(one) is not type(two):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        by_name = all(isinstance(key, str) for key in one) and set(one) == set(two)
        return alike([(k, one[k]) for k in one], [(k, two[k]) for k in (one if by_name else two)])
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(alike, one, two))
    return one == two or (isinstance(one, float) and math.isnan(one) and math.isnan(two))


TREES = {
    "plain": {"a": [1, 2.5, "text", True, False, None, -0.0, 1e-300, 2**70]},
    "not finite": [math.nan, math.inf, {"least": -math.inf}],
    "tuples": ((), (1,), [(2, (3, [4]))], {"pair": (0.9, 0.999)}),
    "keys": {0: "a", 1.5: "b", None: "c", True: "d", (1, (2, "x")): "e", "f": {-1: "g"}},
    "keys that look like marks": {"$tensor": "0", "$float": "nan", "$tuple": [1], "$dict": [[1]],
                                  "$": "more"},
    "keys that are no numbers": {math.inf: 1, -math.inf: {math.nan: 2}},
    "letters": {"größe": 'two lines\n"quoted" \\ 日本 😀'},
    "empty": [{}, [], (), "", {"": ""}],
    "tensors": {"a": torch.arange(6).reshape(2, 3), "b": [torch.tensor(1.5), (torch.zeros(0, 4),)],
                3: {"c": torch.tensor([True, False])}},
    "kinds of tensors": [torch.ones(3, dtype=d) for d in (torch.float64, torch.bfloat16,
                         torch.float16, torch.int8, torch.uint8, torch.int64)],
    "a number": 3,
    "a tensor": torch.tensor([math.nan, math.inf])[1:],
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_state_comes_back_as_it_was(tmp_path, name):
    assert alike(through_files(TREES[name], tmp_path), TREES[name])


def tree_of(chance, depth):
    """A random tree."""
    kind = chance.randrange(9 if depth else 6)
    plain = [None, chance.random() < 0.5, chance.randrange(-9, 9), chance.uniform(-1, 1),
             chance.choice([math.nan, math.inf, "$x", "x"]),
             torch.tensor([chance.randrange(9)] * chance.randrange(3))]  # fmt: skip
    if kind < len(plain):
        return plain[kind]
    items = [tree_of(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 6:
        return items
    if kind == 7:
        return tuple(items)
    keys = chance.sample(["a", "$a", "b", 0, 1.5, (0, "c"), None], len(items))
    return dict(zip(keys, items, strict=True))


def test_random_states_come_back_as_they_were(tmp_path):
    chance = random.Random(4)
    for _ in range(150):
        tree = tree_of(chance, 4)
        assert alike(through_files(tree, tmp_path), tree), tree


def test_parameters_and_parts_of_tensors_come_back_as_plain_tensors(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    tree = [torch.nn.Parameter(whole), whole.T, whole[:, 1], whole, whole]
    found = through_files(tree, tmp_path)
    assert [type(tensor) for tensor in found] == [torch.Tensor] * 5
    assert all(torch.equal(a, b) for a, b in zip(found, tree, strict=True))
    assert not found[0].requires_grad


def test_mappings_of_other_kinds_come_back_as_dicts(tmp_path):
    tree = OrderedDict(b=1, a=OrderedDict({2: 3}))
    assert alike(through_files(tree, tmp_path), {"b": 1, "a": {2: 3}})


def test_the_state_of_an_optimizer_comes_back(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([{"params": [parameter], "scale": 0.5}], lr=0.1)
    parameter.sum().backward()
    optimizer.step()
    assert alike(through_files(optimizer.state_dict(), tmp_path), optimizer.state_dict())


@pytest.mark.parametrize("place", [lambda x: x, lambda x: {"a": [(x,)]}, lambda x: {1: x}])
@pytest.mark.parametrize(
    ("foreign", "name"),
    [({1, 2}, "set"), (b"bytes", "bytes"), (Fraction(1, 2), "Fraction"), (1j, "complex"),
     (frozenset(), "frozenset"), (torch.float32, "dtype"), (range(3), "range")],
)  # fmt: skip
def test_state_of_another_type_is_refused_not_changed(place, foreign, name):
    with pytest.raises(TypeError) as caught:
        split(place(foreign), {})
    assert str(caught.value) == f"state may hold plain data and tensors, not {name}"


@pytest.mark.parametrize("key", [frozenset("a"), b"a"])
def test_a_key_of_another_type_is_refused(key):
    with pytest.raises(TypeError) as caught:
        split({key: 1}, {})
    assert str(caught.value) == (f"state may hold plain data and tensors, not {type(key).__name__}")


def test_a_tensor_that_is_not_there_is_told():
    with pytest.raises(IntegrityError) as caught:
        join({"a": [{"$tensor": "7"}]}, {"0": torch.zeros(1)})
    assert caught.value.message == "state names tensor '7', which is not there"


@pytest.mark.parametrize(
    ("skeleton", "problem"),
    [
        ({"$float": "x"}, "could not convert string to float: 'x'"),
        ({"$tuple": 3}, "'int' object is not iterable"),
        ([{"$dict": [[1]]}], "not enough values to unpack (expected 2, got 1)"),
        ({"$dict": [[[], 1]]}, "unhashable type: 'list'"),
        ({"$tensor": [1]}, "unhashable type: 'list'"),
    ],
)
def test_what_split_never_gives_is_told_as_damage(skeleton, problem):
    with pytest.raises(IntegrityError) as caught:
        join(skeleton, {})
    assert caught.value.message == f"state is damaged: {problem}"


def test_a_tensor_file_that_is_missing_or_no_tensor_file_is_told(tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(IntegrityError) as caught:
        load_tensors(path)
    assert caught.value.message == f"{path} is missing"
    for content in (b"", b"\xff" * 64, b"{}"):
        path.write_bytes(content)
        with pytest.raises(IntegrityError) as caught:
            load_tensors(path)
        assert caught.value.message.startswith(f"{path} is damaged: ")


# -- folders that appear as a whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_takes_its_place_only_when_all_is_done(tmp_path):
    target = tmp_path / "deep" / "out"
    with new_folder(target) as partial:
        (partial / "a").write_text("new")
        assert not target.exists()
        assert partial.parent == target.parent
    assert names(tmp_path / "deep") == ["out"]
    assert (target / "a").read_text() == "new"
    assert os.name != "posix" or target.stat().st_mode & 0o777 == 0o755


def test_a_new_folder_replaces_the_old_one_as_a_whole(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("old")
    with new_folder(target) as partial:
        (partial / "a").write_text("new")
        assert names(target) == ["old"]
    assert names(tmp_path) == ["out"]
    assert names(target) == ["a"]


@pytest.fixture(params=["nothing", "a folder"])
def target(request, tmp_path):
    """A place to write to, and a check that all is as it was before."""
    there = tmp_path / "out"
    if request.param == "a folder":
        there.mkdir()
        (there / "old").write_text("old")

    def untouched():
        return names(tmp_path) == ([] if request.param == "nothing" else ["out"]) and (
            request.param == "nothing" or (there / "old").read_text() == "old"
        )

    return SimpleNamespace(path=there, untouched=untouched)


def fail_halfway(folder, error):
    with new_folder(folder) as partial:
        (partial / "half").write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_a_new_folder_that_fails_leaves_nothing(target, error):
    with pytest.raises(type(error)) as caught:
        fail_halfway(target.path, error)
    assert caught.value is error
    assert target.untouched()


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(errno.ENOSPC, "No space left on device"),
         "free some disk space, or choose another folder"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"),
         "free some disk space, or choose another folder"),
        (OSError("x.safetensors: I/O error: No space left on device (os error 28)"),
         "free some disk space, or choose another folder"),
        (OSError(errno.EIO, "Input/output error"), "choose another folder"),
    ],
)  # fmt: skip
def test_a_disk_that_is_full_is_one_sentence_and_leaves_nothing(target, error, hint):
    with pytest.raises(ArtifactError) as caught:
        fail_halfway(target.path, error)
    assert caught.value.message == f"{target.path} cannot be written: {error}"
    assert caught.value.hint == hint
    assert target.untouched()


def test_a_tensor_file_that_fails_on_a_full_disk_is_the_same_sentence(target, monkeypatch):
    def fails(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(state, "save_file", fails)
    with pytest.raises(ArtifactError) as caught, new_folder(target.path) as partial:
        save_tensors(partial / "x.safetensors", {})
    assert caught.value.message == (
        f"{target.path} cannot be written: "
        "x.safetensors: I/O error: No space left on device (os error 28)"
    )
    assert caught.value.hint == "free some disk space, or choose another folder"
    assert target.untouched()


def test_an_old_folder_comes_back_when_the_new_one_cannot_take_its_place(target, monkeypatch):
    move = os.replace

    def fails(source, destination):
        if ".partial-" in str(source):
            raise OSError(errno.EIO, "Input/output error")
        move(source, destination)

    monkeypatch.setattr("hub_core.folders.os.replace", fails)
    with pytest.raises(ArtifactError) as caught, new_folder(target.path):
        pass
    assert caught.value.message == (
        f"{target.path} cannot be written: [Errno {errno.EIO}] Input/output error"
    )
    assert target.untouched()


def test_a_folder_that_cannot_even_be_begun_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError) as caught, new_folder(tmp_path / "file" / "out"):
        pass
    assert caught.value.message == (
        f"{tmp_path / 'file' / 'out'} cannot be written: "
        f"[Errno {errno.EEXIST}] File exists: '{tmp_path / 'file'}'"
    )
    assert caught.value.hint == "choose another folder"


def test_recovering_brings_back_a_folder_that_was_moved_away(tmp_path):
    (tmp_path / ".out.old-abc" / "it").mkdir(parents=True)
    (tmp_path / ".out.old-abc" / "it" / "a").write_text("old")
    (tmp_path / ".out.partial-def").mkdir()
    (tmp_path / ".out.partial-def" / "a").write_text("half")
    (tmp_path / ".outer.partial-ghi").mkdir()
    recover(tmp_path / "out")
    assert names(tmp_path) == [".outer.partial-ghi", "out"]
    assert (tmp_path / "out" / "a").read_text() == "old"


def test_recovering_keeps_a_folder_that_has_taken_its_place_already(tmp_path):
    (tmp_path / ".out.old-abc" / "it").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("new")
    recover(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "new"


@pytest.mark.parametrize("name", ["out[1]", "out?", "*"])
def test_recovering_takes_a_name_by_its_letters(tmp_path, name):
    (tmp_path / f".{name}.old-abc" / "it").mkdir(parents=True)
    (tmp_path / f".{name}.partial-def").mkdir()
    for other in ("out1", "outs"):
        (tmp_path / f".{other}.old-abc" / "it").mkdir(parents=True)
        (tmp_path / f".{other}.partial-def").mkdir()
    recover(tmp_path / name)
    assert set(names(tmp_path)) == {
        name, ".out1.old-abc", ".out1.partial-def", ".outs.old-abc", ".outs.partial-def"
    }  # fmt: skip


def test_recovering_where_nothing_happened_changes_nothing(tmp_path):
    (tmp_path / ".out.old-abc").mkdir()
    recover(tmp_path / "out")
    assert names(tmp_path) == []
    recover(tmp_path / "nowhere" / "out")
    assert names(tmp_path) == []


# -- runs

VALUES = toydata.recipe(strategies=["lora"], epochs=3, checkpoint_steps=2, device="cpu")
DATA = {"train": toydata.labelled(32), "validation": toydata.labelled(8, seed=9)}
"""Four steps in an epoch: checkpoints after steps 2, 4, 6, …"""


class Killed(BaseException):
    pass


def train(out, values=VALUES, data=DATA, *, kill_at=0, **more):
    """Train; return the result and the numbers of the steps that were taken."""
    steps = []

    def report(event, figures):
        if event == "step":
            steps.append(figures["step"])
            if figures["step"] == kill_at:
                raise Killed

    result = hub_core.train(values, data, out=out, report=report, prove=False, **more)
    return result, steps


def changed(**training):
    values = json.loads(json.dumps(VALUES))
    values["training"].update(training)
    return values


def hashes(out):
    files = json.loads((out / "hub.json").read_text())["files"]
    return {name: file["sha256"] for name, file in files.items()}


def log_of(out):
    return (out.with_name(out.name + ".run") / "train.jsonl").read_text()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The artifact of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("straight") / "out"
    train(out)
    return out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with the run that was killed in its seventh step."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    with pytest.raises(Killed):
        train(out, kill_at=7)
    return out.parent


@pytest.fixture
def out(stopped, tmp_path):
    """Where an artifact would be whose run was killed in its seventh step."""
    shutil.copytree(stopped, tmp_path / "here")
    return tmp_path / "here" / "out"


def test_a_killed_run_goes_on_from_its_newest_checkpoint(out, straight):
    assert not out.exists()
    assert len(log_of(out).splitlines()) == 1
    result, steps = train(out, resume=True)
    assert steps == [7, 8, 9, 10, 11, 12]
    assert hashes(out) == hashes(straight)
    assert log_of(out) == log_of(straight)
    assert [entry["epoch"] for entry in result.history] == [1, 2, 3]


def test_the_log_has_one_line_for_each_epoch(straight):
    lines = [json.loads(line) for line in log_of(straight).splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert set(lines[0]["validation"]["main"]) == {
        "accuracy", "macro_f1", "matthews", "calibration_error"
    }  # fmt: skip


def test_a_finished_run_is_resumed_to_the_same_artifact_without_a_step(straight, tmp_path):
    shutil.copytree(straight.parent, tmp_path / "here")
    again = tmp_path / "here" / "out"
    _, steps = train(again, resume=True, overwrite=True)
    assert steps == []
    assert hashes(again) == hashes(straight)


def test_starting_again_forgets_checkpoint_and_log(out, straight):
    _, steps = train(out)
    assert steps == list(range(1, 13))
    assert log_of(out) == log_of(straight)


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path):
    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "out", resume=True)
    assert caught.value.message == f"{tmp_path / 'out.run'} holds no checkpoint"
    assert caught.value.hint == "start again without --resume"
    assert not (tmp_path / "out").exists()


def test_another_recipe_is_not_resumed_and_what_changed_is_listed(out):
    values = changed(epochs=4, learning_rate=0.5)
    values["strategies"] = ["full"]
    values["tasks"]["main"]["validation"] = 0.2
    values["backbone"] = {"name": "toy-encoder", "seed": 2}
    before = log_of(out)
    with pytest.raises(TrainingError) as caught:
        train(out, values, resume=True)
    assert caught.value.message == (
        f"{out.with_name('out.run')} was trained with another recipe:"
        "\n  - backbone.seed was null, is 2"
        '\n  - strategies was [{"name": "lora"}], is [{"name": "full"}]'
        "\n  - tasks.main.validation was 0.1, is 0.2"
        "\n  - training.epochs was 3, is 4"
        "\n  - training.learning_rate was null, is 0.5"
    )
    assert caught.value.hint == ("resume with the same recipe, or start again without --resume")
    assert log_of(out) == before
    assert train(out, resume=True)[1] == [7, 8, 9, 10, 11, 12]


def told_of(out, data):
    """Resume with other data; return what is told of them."""
    before = log_of(out)
    with pytest.raises(TrainingError) as caught:
        train(out, VALUES, data, resume=True)
    assert caught.value.hint == "resume with the same data, or start again without --resume"
    assert log_of(out) == before
    start = f"{out.with_name('out.run')} was trained on other data:"
    assert caught.value.message.startswith(start)
    return caught.value.message.removeprefix(start)


def test_other_data_are_not_resumed_and_which_changed_is_told(out):
    more = {**DATA, "train": toydata.labelled(40)}
    assert told_of(out, more) == "\n  - task main, train: had 32 examples, has 40"
    turned = {name: rows[::-1] for name, rows in DATA.items()}
    assert told_of(out, turned) == (
        "\n  - task main, train: has other examples, or the same in another order"
        "\n  - task main, validation: has other examples, or the same in another order"
    )
    renamed = [{**row, "label": {"good": "bad", "bad": "good"}[row["label"]]}
               for row in DATA["validation"]]  # fmt: skip
    assert told_of(out, {**DATA, "validation": renamed}) == (
        "\n  - task main, validation: has other examples, or the same in another order"
    )
    assert told_of(out, {"train": DATA["train"]}) == (
        "\n  - task main, validation: had 8 examples, has 0"
    )


def test_test_data_may_be_others_in_a_resumed_run(out):
    assert train(out, VALUES, {**DATA, "test": toydata.labelled(8, seed=10)}, resume=True)[1] == [
        7, 8, 9, 10, 11, 12,
    ]  # fmt: skip


def test_data_are_read_for_their_fingerprint_once(tmp_path, monkeypatch):
    texts = []
    dumps = json.dumps

    def noted(value, **more):
        if isinstance(value, dict) and set(value) == {"text", "label"}:
            texts.append(value["text"])
        return dumps(value, **more)

    monkeypatch.setattr("hub_core.data.json.dumps", noted)
    train(tmp_path / "out")
    assert sorted(texts) == sorted(row["text"] for rows in DATA.values() for row in rows)


def test_how_often_checkpoints_are_written_may_differ_in_a_resumed_run(out, straight):
    train(out, changed(checkpoint_steps=0), resume=True)
    assert hashes(out)["head.main.safetensors"] == hashes(straight)["head.main.safetensors"]


def test_a_checkpoint_that_was_moved_away_by_a_killed_process_comes_back(out, straight):
    run = out.with_name("out.run")
    (run / ".checkpoint.old-abc").mkdir()
    (run / "checkpoint").rename(run / ".checkpoint.old-abc" / "it")
    (run / ".checkpoint.partial-def").mkdir()
    assert train(out, resume=True)[1] == [7, 8, 9, 10, 11, 12]
    assert hashes(out) == hashes(straight)
    assert not [name for name in names(run) if name.startswith(".")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b'{"recipe": ', "Expecting value: line 1 column 12 (char 11)"),
        (b"[]", "list indices must be integers or slices, not str"),
        (b'{"state": {}, "seconds": 1}', "'recipe'"),
        (b'{"recipe": {}, "state": {}, "seconds": "long"}',
         "could not convert string to float: 'long'"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"recipe": {}, "state": {}, "seconds": 1}', "'data'"),
        (b'{"recipe": {}, "data": 5, "state": {}, "seconds": 1}',
         "Value after * must be an iterable, not int"),
        (b'{"recipe": 5, "data": {}, "state": {}, "seconds": 1}',
         "'int' object is not iterable"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_one_sentence(out, content, problem):
    path = out.with_name("out.run") / "checkpoint" / "run.json"
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        train(out, resume=True)
    assert caught.value.message == f"{path} is damaged: {problem}"
    assert caught.value.hint == "start again without --resume"
    assert not out.exists()
    assert train(out)[1] == list(range(1, 13))


def spoilt(state, key, value):
    return {**state, key: value} if key else value


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("", {}, "its state has no usable 'total'"),
        ("", 5, "its state is no table"),
        ("", [], "its state is no table"),
        ("total", "6", "its state has no usable 'total'"),
        ("history", None, "its state has no usable 'history'"),
        ("rng", [1, 2], "its state has no usable 'rng'"),
        ("parts", {}, "its state has no usable 'parts'"),
        ("parts", [], "its state is not that of as many parts as the recipe has"),
        ("best", {}, "its state does not fit: KeyError('score')"),
        ("tensors", {"other": 5}, "its state does not fit: KeyError('other')"),
        ("history", [5], "its state does not fit: TypeError(\"'int' object is not iterable\")"),
        ("optimizer", {"state": {}, "param_groups": []},
         "its state does not fit: ValueError('loaded state dict has a different number of "
         "parameter groups')"),
    ],
)  # fmt: skip
def test_a_checkpoint_whose_state_is_none_is_one_sentence(out, key, value, problem):
    path = out.with_name("out.run") / "checkpoint" / "run.json"
    stored = json.loads(path.read_text())
    stored["state"] = spoilt(stored["state"], key, value)
    path.write_text(json.dumps(stored))
    with pytest.raises(IntegrityError) as caught:
        train(out, resume=True)
    assert caught.value.message == f"{path} is damaged: {problem}"
    assert caught.value.hint == "start again without --resume"
    assert not out.exists()


def test_a_checkpoint_whose_tensors_are_damaged_missing_or_too_few_is_one_sentence(out):
    path = out.with_name("out.run") / "checkpoint" / "tensors.safetensors"
    tensors = load_file(path)
    fewer = {name: tensor for name, tensor in tensors.items() if name != "0"}
    save_file(fewer, path)
    with pytest.raises(IntegrityError) as caught:
        train(out, resume=True)
    assert caught.value.message == "state names tensor '0', which is not there"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(IntegrityError) as caught:
        train(out, resume=True)
    assert caught.value.message.startswith(f"{path} is damaged: ")
    path.unlink()
    with pytest.raises(IntegrityError) as caught:
        train(out, resume=True)
    assert caught.value.message == f"{path} is missing"
    assert not out.exists()


def test_a_disk_that_is_full_at_a_checkpoint_keeps_the_one_before(tmp_path, straight, monkeypatch):
    out = tmp_path / "out"
    write, calls = state.save_file, []

    def fails(tensors, path, metadata):
        calls.append(path)
        if len(calls) == 4:
            path.write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        write(tensors, path, metadata=metadata)

    monkeypatch.setattr(state, "save_file", fails)
    with pytest.raises(ArtifactError) as caught:
        train(out)
    run = tmp_path / "out.run"
    assert caught.value.message == (
        f"{run / 'checkpoint'} cannot be written: tensors.safetensors: "
        "I/O error: No space left on device (os error 28)"
    )
    assert caught.value.hint == "free some disk space, or choose another folder"
    assert not [name for name in names(run) if name.startswith(".")]
    assert names(tmp_path) == ["out.run"]
    assert train(out, resume=True)[1] == [7, 8, 9, 10, 11, 12]
    assert hashes(out) == hashes(straight)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize(
    ("every", "hint", "left"),
    [
        (2, "free some disk space, then go on from the last checkpoint with --resume", 3),
        (0, "free some disk space, then start again", 1),
    ],
)
def test_a_disk_that_is_full_at_the_log_keeps_the_last_checkpoint(
    tmp_path, straight, every, hint, left
):
    log = tmp_path / "out.run" / "train.jsonl"

    def report(event, figures):
        if event == "plan":
            log.symlink_to("/dev/full")

    with pytest.raises(TrainingError) as caught:
        hub_core.train(
            changed(checkpoint_steps=every), DATA, out=tmp_path / "out", report=report, prove=False
        )
    assert caught.value.message == f"{log} cannot be written: {os.strerror(errno.ENOSPC)}"
    assert caught.value.hint == hint
    log.unlink()
    assert train(tmp_path / "out", resume=every > 0)[1] == list(range(left, 13))
    assert hashes(tmp_path / "out") == hashes(straight)


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    run = Run.open(tmp_path / "out", parse(VALUES), resume=False)
    (run.folder / "train.jsonl").mkdir()
    for write in (lambda: run.log({"epoch": 1}), lambda: run.rewrite_log([{"epoch": 1}])):
        with pytest.raises(TrainingError) as caught:
            write()
        path = tmp_path / "out.run" / "train.jsonl"
        assert caught.value.message == f"{path} cannot be written: {os.strerror(errno.EISDIR)}"
        assert caught.value.hint == f"make {path} writable, then start again"
    run.close()


def test_a_run_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "file" / "out")
    assert caught.value.message == (
        f"{tmp_path / 'file' / 'out.run'} cannot be written: {os.strerror(errno.ENOTDIR)}"
    )
    assert caught.value.hint == "choose another --out"


# -- one process at a time

HOLDER = """
import sys
from pathlib import Path
from hub_core.recipe import parse
from hub_core.runs import Run

recipe = parse({"backbone": "b", "tasks": {"t": {"head": "h"}}})
run = Run.open(Path(sys.argv[1]), recipe, resume=False)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_pid_of_the_first_and_let_in_when_that_was_killed(
    tmp_path,
):
    out = tmp_path / "out"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        for resume in (False, True):
            with pytest.raises(TrainingError) as caught:
                train(out, resume=resume)
            assert caught.value.message == (
                f"process {holder.pid} trains in {tmp_path / 'out.run'}"
            )
            assert caught.value.hint == "wait for it, or choose another --out"
        assert names(tmp_path) == ["out.run"]
    finally:
        holder.kill()
        holder.communicate()
    assert train(out)[1] == list(range(1, 13))


def test_a_run_that_was_closed_lets_others_in(tmp_path):
    recipe = parse(VALUES)
    first = Run.open(tmp_path / "out", recipe, resume=False)
    with pytest.raises(TrainingError) as caught:
        Run.open(tmp_path / "out", recipe, resume=False)
    assert caught.value.message == f"process {os.getpid()} trains in {tmp_path / 'out.run'}"
    first.close()
    first.close()
    Run.open(tmp_path / "out", recipe, resume=False).close()


def test_a_run_that_failed_lets_others_in(tmp_path):
    for _ in range(2):
        with pytest.raises(TrainingError, match="holds no checkpoint"):
            train(tmp_path / "out", resume=True)
    with pytest.raises(Killed):
        train(tmp_path / "out", kill_at=1)
    assert train(tmp_path / "out")[1] == list(range(1, 13))


def test_two_runs_with_folders_of_their_own_do_not_meet(tmp_path):
    recipe = parse(VALUES)
    runs = [Run.open(tmp_path / name, recipe, resume=False) for name in ("one", "two")]
    assert names(tmp_path) == ["one.run", "two.run"]
    for run in runs:
        run.close()
