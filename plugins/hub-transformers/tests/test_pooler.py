"""The pooling layer that comes with the weights is loaded where it is asked for, and only there."""

import json
from typing import ClassVar

import pytest
import quick
import tinymodels
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

import hub_core
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Context
from hub_core.testing import BackboneTests
from hub_transformers.backbone import TAGS, TransformersBackbone
from hub_transformers.options import TransformersOptions

WITH = ("bert", "roberta", "xlm-roberta")
WITHOUT = ("distilbert", "modernbert")
TEXTS = ["a very fine day", "this film was sour and the day was cold", "it"]
POOLER = {"pooler.dense.weight", "pooler.dense.bias"}


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: tinymodels.save(name, root / name) for name in tinymodels.FAMILIES}


def load(folder, pooling="pooler", ctx=None):
    options = TransformersOptions(model=str(folder), pooling=pooling)
    return TransformersBackbone.load(options, ctx or Context())


def encode(backbone):
    tokens = backbone.tokenize(TEXTS)
    inputs = backbone.collate([found.inputs for found in tokens])
    with torch.no_grad():
        return backbone.encode(inputs), inputs


def recipe(folder, **parts):
    return tinymodels.recipe(folder, options={"pooling": "pooler"}, **parts)


def tiny(folder):
    return {"model": str(tinymodels.save("bert", folder / "model")), "pooling": "pooler"}


class TestPooler(BackboneTests):
    method = "hub-transformers:transformers"
    cases: ClassVar = {"pooler": tiny}


@pytest.mark.parametrize("family", WITH)
def test_the_pooler_gives_what_the_library_s_own_model_gives(models, family):
    found, inputs = encode(load(models[family]))
    with torch.no_grad():
        expected = AutoModel.from_pretrained(models[family]).eval()(**inputs).pooler_output
    torch.testing.assert_close(found.pooled, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", WITH)
def test_the_layout_tag_and_default_pooling_say_that_it_is_there(models, family):
    backbone = load(models[family])
    assert backbone.tags == TAGS | {"pooler"}
    assert backbone.pooling == "pooler"
    held = TaskModel(backbone, {}).get_submodule(f"backbone.{backbone.layout.pooler}")
    names = {name for name, _ in held.named_parameters()}
    assert names == {"dense.weight", "dense.bias"}
    assert backbone.fresh == frozenset()


@pytest.mark.parametrize("pooling", ["auto", "first", "mean"])
def test_without_being_asked_for_it_is_not_there(models, pooling):
    backbone = load(models["bert"], pooling)
    assert backbone.tags == TAGS
    assert backbone.layout.pooler == ""
    assert encode(backbone)[0].pooled is None
    assert not any("pooler" in name for name, _ in backbone.named_parameters())


@pytest.mark.parametrize("family", WITHOUT)
def test_families_without_one_are_refused_before_weights_are_read(models, family):
    options = TransformersOptions(model=str(models[family]), pooling="pooler")
    with pytest.raises(IncompatibleError) as caught:
        TransformersBackbone.plan(options, Context())
    assert caught.value.message == (
        f"{models[family]}: models of type '{family}' have no pooling layer of their own, so "
        'pooling = "pooler" cannot be used'
    )
    assert caught.value.hint == "pool hidden states: auto, first, mean, max or last"


def test_a_pooler_that_the_checkpoint_lacks_is_fresh_and_trains_with_any_head(tmp_path):
    folder = tinymodels.save("bert", tmp_path / "bert")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if name not in POOLER}
    assert len(kept) == len(tensors) - 2
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    backbone = load(folder)
    names = {name for name, p in backbone.named_parameters() if p in backbone.fresh}
    assert names == {f"body.{name}" for name in POOLER}
    built = quick.build(recipe(folder, strategies=["head-only"]))
    ever = {built.built.names[p] for p in built.ever}
    assert ever >= {f"backbone.body.{name}" for name in POOLER}


@pytest.mark.parametrize("strategy", ["pooling", "full", "lora"])
def test_what_was_trained_through_it_is_loaded_again(models, tmp_path, strategy):
    trained = quick.moved(recipe(models["bert"], strategies=[strategy]), size=0.05)
    folder = trained.saved(tmp_path / "artifact", prove=True)
    expected, _ = encode(trained.backbone)
    form = json.loads((folder / "hub.json").read_text())["form"]
    assert form == ("whole" if strategy == "full" else "delta")
    found, _ = encode(hub_core.load(folder).model.backbone)
    torch.testing.assert_close(found.pooled, expected.pooled, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.hidden, expected.hidden, rtol=1e-5, atol=1e-5)


def test_a_whole_artifact_opens_in_plain_transformers_with_the_trained_pooler(models, tmp_path):
    trained = quick.moved(recipe(models["roberta"], strategies=["full"]), size=0.05)
    folder = trained.saved(tmp_path / "artifact")
    found, inputs = encode(trained.backbone)
    assert set(load_file(folder / "model.safetensors")) >= POOLER
    with torch.no_grad():
        plain = AutoModel.from_pretrained(folder).eval()(**inputs)
    torch.testing.assert_close(plain.pooler_output, found.pooled, rtol=1e-5, atol=1e-6)
