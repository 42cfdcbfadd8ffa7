"""An artifact is loaded as it was saved, or refused with a sentence; nothing in between."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
import quick
import tinymodels
import torch
import toydata
from safetensors.torch import load_file, save_file

import hub_core
from hub_core import artifact, catalog, manifest, proof
from hub_core.artifact import file_names
from hub_core.errors import (
    ArtifactError,
    BaseMismatchError,
    FormatError,
    HubError,
    IntegrityError,
)
from hub_core.proof import TOLERANCE, check_in_fresh_process

TOY = {
    "delta": {"strategies": ["toy-prefix", "toy-range"]},
    "whole": {"strategies": ["full"], "compressors": ["prune-magnitude"]},
    "int8": {"strategies": ["full"], "compressors": ["quantize-int8"]},
    "head": {"strategies": ["head-only"]},
    "pruned": {"strategies": ["lora"], "compressors": ["prune-magnitude"]},
}
TINY = {"lora": {"strategies": ["lora"]}, "plain": {"strategies": ["full"]}}
KINDS = [*TOY, *TINY]
FILES = {
    "delta": ["delta.safetensors"],
    "whole": ["toy.json", "whole.safetensors"],
    "int8": ["toy.json", "whole.safetensors"],
    "head": [],
    "pruned": ["delta.safetensors"],
    "lora": ["adapter_config.json", "adapter_model.safetensors"],
    "plain": ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
}
ALWAYS = ["head.main.safetensors", "hub.json", "probe.json", "probe.safetensors"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """An artifact of every kind, and the tiny BERT that two of them need."""
    root = tmp_path_factory.mktemp("kept")
    bert = tinymodels.save("bert", root / "backbones" / "bert")
    for name, parts in TOY.items():
        quick.moved(toydata.recipe(**parts)).saved(root / name)
    for name, parts in TINY.items():
        quick.moved(tinymodels.recipe(bert, **parts)).saved(root / name)
    return root


@pytest.fixture
def copy(kept, tmp_path):
    """Return a function that copies an artifact of a kind, to be damaged."""
    return lambda kind: shutil.copytree(kept / kind, tmp_path / kind)


def change(folder, edit):
    """Change ``hub.json`` with a function of its values."""
    values = json.loads((folder / "hub.json").read_text())
    edit(values)
    (folder / "hub.json").write_text(json.dumps(values))


def rewrite(folder, name, edit):
    """Change a tensor file, and its hash in ``hub.json`` with it."""
    tensors = load_file(folder / name)
    edit(tensors)
    save_file(tensors, folder / name)
    entry = manifest.describe_files(folder)[name].model_dump()
    change(folder, lambda values: values["files"].update({name: entry}))


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# -- what is saved is what is loaded


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_holds_exactly_the_files_of_its_kind(kept, kind):
    assert sorted(bytes_of(kept / kind)) == sorted(ALWAYS + FILES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_the_names_of_the_files_are_known_before_they_are_written(kept, kind):
    parts = {**TOY, **TINY}[kind]
    values = toydata.recipe(**parts)
    if kind in TINY:
        values = tinymodels.recipe(kept / "backbones" / "bert", **parts)
    assert file_names(quick.moved(values).finish()) == sorted(bytes_of(kept / kind))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_loaded_gives_the_outputs_that_were_saved(kept, kind):
    check = hub_core.verify(kept / kind)
    assert check.rows == len(quick.EXAMPLES)
    assert check.difference <= 1e-6
    assert check.same


def test_the_probe_holds_inputs_and_no_targets(kept):
    probe = json.loads((kept / "delta" / "probe.json").read_text())["main"]
    assert [set(example) for example in probe["inputs"]] == [{"text"}] * len(quick.EXAMPLES)
    assert probe["labels"] == ["bad", "good"]


def test_a_run_saves_a_model_that_a_fresh_process_proves(tmp_path):
    values = toydata.recipe(strategies=["lora"], compressors=["quantize-int8"])
    result = hub_core.train(values, toydata.labelled(48), out=tmp_path / "it")
    proof = result.manifest.proof
    assert proof.rows == json.loads((tmp_path / "it" / "hub.json").read_text())["proof"]["rows"] > 0
    assert proof.difference <= proof.tolerance == TOLERANCE
    texts = [row["text"] for row in toydata.labelled(5, seed=3)]
    assert hub_core.load(tmp_path / "it").predict(texts) == result.predictor.predict(texts)


# -- damage


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in (ALWAYS + FILES[kind]) if name != "hub.json"],
)
def test_one_changed_byte_in_a_file_is_refused(copy, kind, name):
    folder = copy(kind)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    for use in (hub_core.load, hub_core.verify):
        with pytest.raises(IntegrityError) as caught:
            use(folder)
        assert f"{folder} is not what was saved:\n  - {name} has sha256 " in caught.value.message


@pytest.mark.parametrize("name", ["delta.safetensors", "probe.json"])
def test_a_missing_and_a_cut_file_are_told(copy, name):
    folder = copy("delta")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1])
    size = len(whole)
    with pytest.raises(IntegrityError, match=f"{name} has {size - 1} bytes, not {size}"):
        hub_core.load(folder)
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        hub_core.load(folder)


def test_a_tensor_file_that_is_not_listed_is_refused(copy):
    folder = copy("head")
    save_file({"backbone.embed.weight": torch.zeros(1)}, folder / "more.safetensors")
    with pytest.raises(IntegrityError, match=r"more\.safetensors is not listed in hub\.json"):
        hub_core.load(folder)


def _set(*path, to):
    def edit(values):
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] = to

    return edit


def _lora(**options):
    return _set("recipe", "strategies", 0, to={"name": "lora", **options})


HEX = "0123456789abcdef" * 4
SPOTS = {
    "format": ("delta", _set("format", to=2), FormatError),
    "format-text": ("delta", _set("format", to="one"), FormatError),
    "form": ("delta", _set("form", to="whole"), IntegrityError),
    "form-unknown": ("delta", _set("form", to="half"), FormatError),
    "form-int8": ("int8", _set("form", to="delta"), IntegrityError),
    "fingerprint": ("lora", _set("backbone", "fingerprint", to=HEX), BaseMismatchError),
    "fingerprint-text": ("lora", _set("backbone", "fingerprint", to="x"), FormatError),
    "config": ("lora", _set("backbone", "config", to=HEX), BaseMismatchError),
    "hash": ("delta", _set("files", "probe.json", "sha256", to=HEX), IntegrityError),
    "size": ("delta", _set("files", "probe.json", "size", to=1), IntegrityError),
    "files": ("delta", _set("files", to={}), IntegrityError),
    "path": ("delta", _set("files", "../x", to={"sha256": HEX, "size": 1}), FormatError),
    "tensors": ("delta", _set("tensors", to=[]), IntegrityError),
    "renamed": ("lora", _set("renamed", to={}), IntegrityError),
    "seed": ("delta", _set("recipe", "backbone", "seed", to=4), BaseMismatchError),
    "rank": ("lora", _lora(r=2), IntegrityError),
    "scale": ("lora", _lora(alpha=17.0), IntegrityError),
    "option": ("lora", _lora(rank=2), HubError),
    "no-strategy": ("lora", _set("recipe", "strategies", to=[]), IntegrityError),
    "strategy": ("delta", _set("recipe", "strategies", 0, to={"name": "full"}), IntegrityError),
    "order": ("delta", lambda v: v["recipe"]["strategies"].reverse(), IntegrityError),
    "no-compressor": ("int8", _set("recipe", "compressors", to=[]), IntegrityError),
    "recipe": ("delta", _set("recipe", to={}), IntegrityError),
    "no-methods": ("delta", _set("methods", to=[]), IntegrityError),
    "state": ("pruned", _set("methods", -1, "state", to=None), IntegrityError),
    "threshold": (
        "pruned",
        lambda v: v["methods"][-1]["state"]["thresholds"].update(
            dict.fromkeys(v["methods"][-1]["state"]["thresholds"], 0.3)
        ),
        IntegrityError,
    ),
    "task": ("delta", lambda v: v["tasks"].update(x=v["tasks"].pop("main")), IntegrityError),
    "labels-swapped": (
        "delta", _set("tasks", "main", "labels", to=["good", "bad"]), IntegrityError,
    ),
    "label-renamed": ("delta", _set("tasks", "main", "labels", 0, to="worse"), IntegrityError),
    "label-more": ("delta", _set("tasks", "main", "labels", 1, to=["a"]), FormatError),
    "labels-three": ("delta", _set("tasks", "main", "labels", to=["a", "b", "c"]), IntegrityError),
    "pooling": ("head", _set("recipe", "tasks", "main", "head", "pooling", to="no"), HubError),
}  # fmt: skip


@pytest.mark.parametrize("spot", SPOTS)
def test_a_changed_manifest_is_refused_by_verify(copy, spot):
    kind, edit, error = SPOTS[spot]
    folder = copy(kind)
    change(folder, edit)
    with pytest.raises(error):
        hub_core.verify(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "[" * 100_000])
def test_a_manifest_that_is_none_is_refused(copy, text):
    folder = copy("head")
    (folder / "hub.json").write_text(text)
    with pytest.raises(FormatError):
        hub_core.load(folder)


def test_a_newer_format_is_refused_by_number(copy):
    folder = copy("head")
    change(folder, _set("format", to=7))
    with pytest.raises(FormatError) as caught:
        hub_core.load(folder)
    path = folder / "hub.json"
    assert caught.value.message == f"{path} has format 7, this hub-core reads up to 1"
    assert caught.value.hint == "update hub-core"


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path):
    with pytest.raises(FormatError) as caught:
        hub_core.load(tmp_path)
    assert caught.value.message == f"{tmp_path} is no artifact: it has no hub.json"


def test_missing_extra_and_misshapen_tensors_are_told_by_name(copy):
    folder = copy("delta")
    [name] = [n for n in load_file(folder / "delta.safetensors") if n.endswith("vectors")]

    def extra(tensors):
        tensors["backbone.extra"] = tensors.pop(name)

    rewrite(folder, "delta.safetensors", extra)
    with pytest.raises(IntegrityError) as caught:
        hub_core.load(folder)
    assert caught.value.message == (
        f"{folder}: its tensors are not those of the model:"
        f"\n  - missing: {name}\n  - unexpected: backbone.extra"
    )
    change(folder, lambda values: values.update(tensors=[
        "backbone.extra" if n == name else n for n in values["tensors"]]))  # fmt: skip
    with pytest.raises(IntegrityError, match=f"missing: {name}\n  - unexpected: backbone.extra"):
        hub_core.load(folder)


def test_a_tensor_of_another_shape_is_told_with_both_shapes(copy):
    folder = copy("head")
    name = "heads.main.output.weight"
    rewrite(
        folder, "head.main.safetensors", lambda t: t.update({name: t[name][:, :-1].contiguous()})
    )
    with pytest.raises(IntegrityError) as caught:
        hub_core.load(folder)
    assert caught.value.message == (
        f"{folder}: tensors do not fit the model:"
        f"\n  - {name} has shape [2, 31], the model's has [2, 32]"
    )


def test_a_damaged_tensor_file_is_refused_even_unchecked(copy):
    folder = copy("head")
    (folder / "head.main.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(IntegrityError, match=r"head\.main\.safetensors is damaged: "):
        hub_core.load(folder, check=False)


def test_another_backbone_is_refused_with_both_fingerprints(kept, tmp_path):
    other = tinymodels.save("bert", tmp_path / "other", seed=1)
    wanted = manifest.read(kept / "lora").backbone.fingerprint
    with pytest.raises(BaseMismatchError) as caught:
        hub_core.load(kept / "lora", backbone=str(other))
    found = catalog.installed().find("backbone", "transformers").factory()
    from hub_core.part import Context
    from hub_transformers.options import TransformersOptions

    have = found.load(TransformersOptions(model=str(other)), Context()).identity.fingerprint
    assert have != wanted
    assert caught.value.message == (
        f"other is not the backbone of this artifact: its weights have sha256 {have[:16]}…, "
        f"the artifact was trained on {wanted[:16]}…"
    )


# -- saving that fails


@pytest.fixture(scope="module")
def trained():
    return quick.moved(toydata.recipe(**TOY["delta"])).finish()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyError("x")])
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("before", ["nothing", "an artifact"])
def test_a_save_that_fails_leaves_everything_as_it_was(
    trained, kept, tmp_path, monkeypatch, error, call, before
):
    target = tmp_path / "out"
    if before == "an artifact":
        shutil.copytree(kept / "head", target)
    old = bytes_of(target) if target.exists() else None
    calls = []

    def failing(path, tensors):
        calls.append(path)
        if len(calls) == call:
            path.write_bytes(b"half")
            raise error
        save_tensors(path, tensors)

    save_tensors = artifact.save_tensors
    monkeypatch.setattr(artifact, "save_tensors", failing)
    monkeypatch.setattr(proof, "save_tensors", failing)
    expected = ArtifactError if isinstance(error, OSError) else KeyError
    with pytest.raises(expected) as caught:
        quick.save_to(trained, target)
    if expected is ArtifactError:
        assert caught.value.message == (
            f"{target} cannot be written: [Errno 28] No space left on device"
        )
    assert len(calls) == call
    assert [path.name for path in tmp_path.iterdir()] == ([] if old is None else ["out"])
    assert old is None or bytes_of(target) == old


def test_a_save_that_fails_in_its_last_move_keeps_the_old_artifact(
    trained, kept, tmp_path, monkeypatch
):
    target = shutil.copytree(kept / "head", tmp_path / "out")
    old = bytes_of(target)
    move = os.replace

    def failing(source, destination):
        if ".partial-" in str(source):
            raise OSError(errno.EIO, "Input/output error")
        move(source, destination)

    monkeypatch.setattr("hub_core.folders.os.replace", failing)
    with pytest.raises(ArtifactError):
        quick.save_to(trained, target)
    assert bytes_of(target) == old
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_save_replaces_an_old_artifact_as_a_whole(trained, kept, tmp_path):
    target = shutil.copytree(kept / "plain", tmp_path / "out")
    quick.save_to(trained, target)
    assert sorted(bytes_of(target)) == sorted(ALWAYS + FILES["delta"])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_made_is_one_sentence(trained, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match="cannot be written: "):
        quick.save_to(trained, tmp_path / "file" / "out")


def test_an_artifact_is_never_trained_over_without_being_told_to(copy):
    folder = copy("head")
    old = bytes_of(folder)
    recipe = toydata.recipe(strategies=["head-only"])
    with pytest.raises(ArtifactError) as caught:
        hub_core.train(recipe, toydata.labelled(32), out=folder)
    assert caught.value.message == f"{folder} holds an artifact already"
    assert bytes_of(folder) == old
    hub_core.train(recipe, toydata.labelled(32), out=folder, overwrite=True, prove=False)
    assert bytes_of(folder) != old


def test_a_folder_with_something_else_is_never_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine")
    recipe = toydata.recipe(strategies=["head-only"])
    with pytest.raises(ArtifactError) as caught:
        hub_core.train(recipe, toydata.labelled(32), out=tmp_path / "out", overwrite=True)
    assert caught.value.message == f"{tmp_path / 'out'} exists and is no artifact"


FORGETFUL = """
from hub_core.part import Part
from hub_core.spec import Method, hookimpl

@hookimpl
def hub_strategies():
    yield Method(name="forgetful", summary="Keeps a decision to itself",
                 factory="hub_forgetful:Forgetful", options="hub_core.options:NoOptions")

class Forgetful(Part):
    factor = 1.0

    def finalize(self, model, ctx):
        if not ctx.restoring:
            self.factor = 1.5
        for _, linear in model.linears():
            linear.weight.mul_(self.factor)
"""


def test_a_part_that_forgets_its_state_is_found_before_anything_is_written(tmp_path, monkeypatch):
    plugin = tmp_path / "plugin"
    info = plugin / "hub_forgetful-1.0.dist-info"
    info.mkdir(parents=True)
    (plugin / "hub_forgetful.py").write_text(FORGETFUL)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hub-forgetful\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hub_core]\nhub-forgetful = hub_forgetful\n")
    monkeypatch.syspath_prepend(plugin)
    monkeypatch.setenv("PYTHONPATH", f"{plugin}{os.pathsep}{os.environ['PYTHONPATH']}")
    catalog.installed.cache_clear()
    try:
        trained = quick.moved(toydata.recipe(strategies=["head-only", "forgetful"])).finish()
        with pytest.raises(IntegrityError) as caught:
            quick.save_to(trained, tmp_path / "out" / "it", prove=True)
    finally:
        catalog.installed.cache_clear()
    assert caught.value.message.startswith("what a fresh process loads gives outputs that differ")
    assert caught.value.message.endswith("accepted is 1e-05; nothing was saved")
    assert caught.value.hint == (
        "some part does not keep all of its state: try the parts one by one"
    )
    assert list((tmp_path / "out").iterdir()) == []


# -- other surroundings


def test_a_missing_plugin_is_one_sentence_that_names_the_method(kept, monkeypatch):
    others = [p.name for p in catalog.installed().plugins() if p.name != "hub-peft"]
    monkeypatch.setenv("HUB_PLUGINS", ",".join(others))
    [answer] = check_in_fresh_process([kept / "lora"])
    assert answer["error"] == "plugin hub-peft is disabled: HUB_PLUGINS does not name it"


NO_NETWORK = """
import os, socket

def refused(*args, **kwargs):
    with open(os.environ["TOUCHED"], "a") as file:
        file.write(repr(args) + chr(10))
    raise OSError("no network in this test")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refused
"""
OFFLINE = """
import sys
import hub_core, tinymodels, toydata

folder, out = sys.argv[1:]
for name in ("lora", "full"):
    recipe = tinymodels.recipe(folder, strategies=[name], epochs=1)
    hub_core.train(recipe, toydata.labelled(32), out=f"{out}/{name}", prove=name == "lora")
    hub_core.load(f"{out}/{name}").predict(["fine"])
"""


def test_saving_and_loading_never_touch_the_network(kept, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    here = [str(tmp_path), *(p for p in sys.path if p.endswith("tests")), os.environ["PYTHONPATH"]]
    environment = {**os.environ, "TOUCHED": str(tmp_path / "touched"),
                   "PYTHONPATH": os.pathsep.join(here)}  # fmt: skip
    environment.pop("HF_HUB_OFFLINE")
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(kept / "backbones" / "bert"), str(tmp_path / "out")],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (tmp_path / "touched").exists(), (tmp_path / "touched").read_text()
    assert (tmp_path / "out" / "full" / "model.safetensors").is_file()
