"""Artifacts open in plain PEFT and plain transformers, in a process that cannot import hub_core."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tinymodels
import torch
import toydata
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import hub_core

LORAS = {
    "bert": {},
    "distilbert": {},
    "roberta": {"targets": ["query", "value"]},
    "xlm-roberta": {"init": "gaussian", "dropout": 0.1},
    "modernbert": {"targets": ["qkv", "up"]},
    "bert-dora": {"dora": True},
    "bert-rslora": {"rslora": True, "r": 4, "alpha": 8},
    "bert-dora-rslora": {"dora": True, "rslora": True, "r": 2},
}
FULL = {f"{family}-full": family for family in tinymodels.FAMILIES}
CODE = """
import sys
sys.modules["hub_core"] = None  # whatever tries to import it fails
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)
root = Path(sys.argv[1])
hidden = {}
for item in sys.argv[2:]:
    kind, artifact, family = item.split(":")
    if kind == "peft":
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(root / family), root / artifact)
    else:  # with an adapter, transformers takes its base from the folder's name, from here
        model = AutoModel.from_pretrained(root / artifact)
    with torch.no_grad():
        inputs = load_file(root / f"{family}.inputs")
        hidden[f"{kind}:{artifact}"] = model.eval()(**inputs).last_hidden_state.contiguous()
save_file(hidden, root / "hidden.safetensors")
assert not [name for name in sys.modules if name.startswith("hub_") and sys.modules[name]]
"""
TEXTS = ["a very fine day", "this film was sour", "it", "sweet and warm and good"]


def family_of(name):
    return next(f for f in sorted(tinymodels.FAMILIES, key=len, reverse=True) if name.startswith(f))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a backbone of each family, adapters, tuned models and inputs for them."""
    root = tmp_path_factory.mktemp("interop")
    for family in tinymodels.FAMILIES:
        backbone = tinymodels.save(family, root / family)
        parts = {"learning_rate": 1e-2, "epochs": 1}
        recipe = tinymodels.recipe(backbone, strategies=["full"], **parts)
        hub_core.train(recipe, toydata.labelled(32), out=root / f"{family}-full", prove=False)
        for name, options in LORAS.items():
            if family_of(name) == family:
                lora = {"name": "lora", **options}
                recipe = tinymodels.recipe(backbone, strategies=[lora], **parts)
                out = root / f"{name}-lora"
                hub_core.train(recipe, toydata.labelled(32), out=out, prove=False)
        body = hub_core.load(root / f"{family}-full").model.backbone
        save_file(body.collate([t.inputs for t in body.tokenize(TEXTS)]), root / f"{family}.inputs")
    return root


@pytest.fixture(scope="module")
def plain(root):
    """Hidden states by plain libraries, from one process."""
    items = [f"peft:{name}-lora:{family_of(name)}" for name in LORAS]
    items += [f"auto:{name}-lora:{family_of(name)}" for name in LORAS]
    items += [f"auto:{name}:{family}" for name, family in FULL.items()]
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(root), *items],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(root / "hidden.safetensors")


def ours(root, artifact, family):
    body = hub_core.load(root / artifact).model.backbone
    with torch.no_grad():
        return body.encode(load_file(root / f"{family}.inputs")).hidden


def untouched(root, family):
    from hub_core.part import Context
    from hub_transformers.backbone import TransformersBackbone
    from hub_transformers.options import TransformersOptions

    body = TransformersBackbone.load(TransformersOptions(model=str(root / family)), Context())
    with torch.no_grad():
        return body.encode(load_file(root / f"{family}.inputs")).hidden


def assert_same(root, family, first, second):
    mask = load_file(root / f"{family}.inputs")["attention_mask"].bool()
    assert torch.equal(first.isfinite()[mask], torch.ones_like(first[mask]).bool())
    torch.testing.assert_close(first[mask], second[mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LORAS)
def test_an_adapter_opens_in_plain_peft_with_our_hidden_states(root, plain, name):
    family = family_of(name)
    hidden = ours(root, f"{name}-lora", family)
    assert_same(root, family, plain[f"peft:{name}-lora"], hidden)
    assert (hidden - untouched(root, family)).abs().max() > 1e-2


@pytest.mark.parametrize("name", LORAS)
def test_an_adapter_opens_in_plain_transformers_with_our_hidden_states(root, plain, name):
    hidden = ours(root, f"{name}-lora", family_of(name))
    assert_same(root, family_of(name), plain[f"auto:{name}-lora"], hidden)


@pytest.mark.parametrize("name", FULL)
def test_a_tuned_model_opens_in_plain_transformers_with_our_hidden_states(root, plain, name):
    hidden = ours(root, name, FULL[name])
    assert_same(root, FULL[name], plain[f"auto:{name}"], hidden)
    assert (hidden - untouched(root, FULL[name])).abs().max() > 1e-2


def artifacts(root):
    return [root / f"{name}-lora" for name in LORAS] + [root / name for name in FULL]


def test_no_folder_holds_both_an_adapter_and_a_whole_model(root):
    for folder in artifacts(root):
        files = {path.name for path in folder.iterdir()}
        assert len(files & {"adapter_config.json", "config.json"}) == 1, folder.name
        assert ("adapter_config.json" in files) == ("adapter_model.safetensors" in files)
        assert ("config.json" in files) == ("model.safetensors" in files)


def test_an_adapter_names_its_base_without_a_path_of_this_machine(root):
    for name in LORAS:
        config = json.loads((root / f"{name}-lora" / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == family_of(name)
        assert config["inference_mode"] is True


def test_no_file_holds_a_path_of_this_machine(root):
    marks = [str(root), str(Path.home()), str(Path(sys.prefix)), str(Path(__file__).parents[1])]
    marks = [mark.encode() for mark in marks if len(mark) > 1]
    for folder in artifacts(root):
        for path in folder.iterdir():
            found = [mark for mark in marks if mark in path.read_bytes()]
            assert not found, f"{path.name} of {folder.name} holds {found}"


def test_everybody_may_read_the_files(root):
    for folder in artifacts(root):
        assert folder.stat().st_mode & 0o777 == 0o755
        assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())


def test_tensors_are_stored_in_float32_under_the_library_s_names(root):
    with safe_open(root / "bert-lora" / "adapter_model.safetensors", "pt") as file:
        names = set(file.keys())
        assert {str(file.get_tensor(name).dtype) for name in names} == {"torch.float32"}
    assert "base_model.model.encoder.layer.0.attention.self.query.lora_A.weight" in names
    assert len(names) == 2 * 2 * 6
