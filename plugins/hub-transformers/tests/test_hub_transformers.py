"""The backbone finds, refuses, pins and reads models of five families."""

import json
import shutil

import huggingface_hub
import pytest
import quick
import tinymodels
import torch
import toydata
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import nn

import hub_core
from hub_core.build import plan
from hub_core.catalog import installed
from hub_core.errors import BaseMismatchError, IncompatibleError, RemoteError
from hub_core.part import Context
from hub_core.recipe import parse
from hub_transformers.backbone import TransformersBackbone
from hub_transformers.layout import FAMILIES
from hub_transformers.options import TransformersOptions

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = ["a very fine day", "this film was sour and the day was cold", "it"]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: tinymodels.save(name, root / name) for name in tinymodels.FAMILIES}


@pytest.fixture
def bert(models, tmp_path):
    """A copy of the tiny BERT, to be damaged."""
    return shutil.copytree(models["bert"], tmp_path / "bert")


def load(folder, ctx=None, **options):
    return TransformersBackbone.load(
        TransformersOptions(model=str(folder), **options), ctx or Context()
    )


def look(folder):
    return TransformersBackbone.plan(TransformersOptions(model=str(folder)), Context())


def encode(backbone, texts, pairs=None):
    with torch.no_grad():
        tokens = backbone.tokenize(texts, pairs)
        return backbone.encode(backbone.collate([found.inputs for found in tokens]))


def change(folder, name="config.json", **values):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, **values}))


# -- the layout


def test_every_supported_family_has_a_tiny_model():
    assert set(FAMILIES) == set(tinymodels.FAMILIES)


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_the_layout_names_every_linear_layer_of_the_layers(models, family):
    backbone = load(models[family])
    layout = backbone.layout
    assert layout.hidden == tinymodels.HIDDEN
    assert layout.positions == tinymodels.LONGEST
    assert len(layout.layers) == 2
    there = {
        f"{layer}.{name}"
        for layer in layout.layers
        for name, module in backbone.get_submodule(layer).named_modules()
        if isinstance(module, nn.Linear)
    }
    assert set(layout.linears) == there
    assert isinstance(backbone.get_submodule(layout.embeddings), nn.Embedding)


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_roles_have_the_shapes_that_their_names_say(models, family):
    backbone = load(models[family])
    width, wide = tinymodels.HIDDEN, 64
    gated = 2 if family == "modernbert" else 1
    shapes = {"query": (width, width), "key": (width, width), "value": (width, width),
              "qkv": (3 * width, width), "attention-out": (width, width),
              "up": (gated * wide, width), "down": (width, wide)}  # fmt: skip
    roles = set(backbone.layout.linears.values())
    inputs = {"qkv"} if family == "modernbert" else {"query", "key", "value"}
    assert roles == inputs | {"attention-out", "up", "down"}
    for path, role in backbone.layout.linears.items():
        assert tuple(backbone.get_submodule(path).weight.shape) == shapes[role], path


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_layers_hand_hidden_states_upwards(models, family):
    backbone = load(models[family])
    seen = []
    for layer in backbone.layout.layers:
        module = backbone.get_submodule(layer)
        module.register_forward_hook(lambda module, inputs, output: seen.append((inputs, output)))
    encode(backbone, TEXTS)
    first = seen[0][1] if torch.is_tensor(seen[0][1]) else seen[0][1][0]
    assert torch.equal(first, seen[1][0][0])


# -- what it reads and what it gives


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_every_token_has_one_vector_whatever_it_is_padded_with(models, family):
    backbone = load(models[family])
    together = encode(backbone, TEXTS)
    lengths = [len(found.inputs["input_ids"]) for found in backbone.tokenize(TEXTS)]
    assert len(set(lengths)) == 3
    assert together.hidden.shape == (3, max(lengths), tinymodels.HIDDEN)
    assert together.mask.sum(1).tolist() == lengths
    for text, length, hidden in zip(TEXTS, lengths, together.hidden, strict=True):
        alone = encode(backbone, [text]).hidden
        assert alone.shape == (1, length, tinymodels.HIDDEN)
        torch.testing.assert_close(hidden[:length], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_a_pair_is_tokenized_as_the_model_s_own_tokenizer_does(models, family):
    backbone = load(models[family])
    [found] = backbone.tokenize(["a fine day"], ["it was"])
    expected = tinymodels.tokenizer(family)("a fine day", "it was")
    assert list(found.inputs["input_ids"]) == expected["input_ids"]
    assert found.inputs.keys() == expected.keys() - {"attention_mask"}
    if family == "bert":
        assert list(found.inputs["token_type_ids"]) == [0, 0, 0, 0, 0, 1, 1, 1]
    assert not torch.equal(
        encode(backbone, ["a fine day"], ["it was"]).hidden,
        encode(backbone, ["it was"], ["a fine day"]).hidden,
    )


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_a_text_that_is_too_long_is_cut_and_it_is_told(models, family):
    backbone = load(models[family])
    room = tinymodels.LONGEST - 2
    fits, cut = backbone.tokenize(["day " * room, "day " * (room + 1)])
    assert (fits.truncated, cut.truncated) == (False, True)
    assert len(fits.inputs["input_ids"]) == len(cut.inputs["input_ids"]) == tinymodels.LONGEST
    assert encode(backbone, ["day " * 999]).hidden.isfinite().all()


def test_a_pair_loses_the_end_of_its_longer_text(models):
    backbone = load(models["bert"], max_length=12)
    [found] = backbone.tokenize(["it was"], ["day " * 50])
    assert found.truncated
    assert sum(found.inputs["token_type_ids"]) == 12 - 4
    assert len(found.inputs["input_ids"]) == 12


def test_max_length_can_shorten_and_never_lengthen(models):
    assert load(models["roberta"], max_length=7).max_length == 7
    assert load(models["roberta"], max_length=4000).max_length == tinymodels.LONGEST


def test_a_tokenizer_without_a_bound_gets_the_model_s(bert):
    change(bert, "tokenizer_config.json", model_max_length=int(1e30))
    assert load(bert).max_length == tinymodels.LONGEST


def test_no_texts_give_no_tokens(models):
    assert load(models["bert"]).tokenize([]) == []


@pytest.mark.parametrize(
    ("mode", "pooling"),
    [("cls_token", "first"), ("mean_tokens", "mean"), ("max_tokens", "max"), ("lasttoken", "last")],
)
def test_pooling_is_read_from_sentence_transformers_files(bert, mode, pooling):
    (bert / "1_Pooling").mkdir()
    modes = {"cls_token": False, "mean_tokens": False, mode: True}
    values = {f"pooling_mode_{name}": chosen for name, chosen in modes.items()}
    (bert / "1_Pooling" / "config.json").write_text(json.dumps(values))
    assert load(bert).pooling == pooling
    assert load(bert, pooling="max").pooling == "max"


def test_pooling_is_the_mean_where_no_file_says_more(models):
    assert load(models["bert"]).pooling == "mean"


# -- what is refused


def refused(folder):
    with pytest.raises(IncompatibleError) as caught:
        look(folder)
    with pytest.raises(IncompatibleError) as again:
        load(folder)
    assert caught.value.message == again.value.message
    return caught.value


def test_an_unknown_type_of_model_is_refused_before_weights_are_read(bert):
    change(bert, model_type="gpt2")
    (bert / "model.safetensors").unlink()
    error = refused(bert)
    assert error.message == ("models of type 'gpt2' are not supported by the backbone transformers")
    assert error.hint == "supported types: bert, distilbert, modernbert, roberta, xlm-roberta"


def test_a_type_that_the_library_does_not_know_is_refused_alike(bert):
    change(bert, model_type="zzz")
    assert refused(bert).message.startswith("models of type 'zzz' are not supported")


def test_a_folder_without_config_is_refused(bert):
    (bert / "config.json").unlink()
    assert refused(bert).message == f"{bert} holds no config.json"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '"bert"', "[" * 100_000])
def test_a_broken_config_is_refused(bert, text):
    (bert / "config.json").write_text(text)
    assert refused(bert).message == f"{bert / 'config.json'} is no JSON object with a model_type"


def test_a_config_with_a_wrong_value_is_refused(bert):
    change(bert, hidden_size="wide")
    assert refused(bert).message.startswith(f"{bert / 'config.json'} cannot be read: ")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    error = refused(tmp_path / "none")
    assert error.message == f"there is no folder {tmp_path / 'none'}, and it is no Hub id either"
    assert error.hint == "give a folder with config.json and model.safetensors, or owner/name"


def test_weights_that_are_not_safetensors_are_refused(bert):
    tensors = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    torch.save(tensors, bert / "pytorch_model.bin")
    with pytest.raises(IncompatibleError) as caught:
        load(bert)
    assert caught.value.message == f"{bert} holds no safetensors weights"
    assert caught.value.hint == (
        "other weight formats can run code when opened; convert the model first"
    )


def test_damaged_weights_are_refused(bert):
    (bert / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(IncompatibleError, match=f"{bert} cannot be loaded: "):
        load(bert)


def test_weights_of_another_width_are_refused(bert):
    change(bert, hidden_size=64)
    with pytest.raises(IncompatibleError) as caught:
        load(bert)
    assert caught.value.hint == (
        "check that config.json and the weights belong together, or fetch them again"
    )


def test_a_folder_without_tokenizer_is_refused(bert):
    (bert / "tokenizer.json").unlink()
    (bert / "tokenizer_config.json").unlink()
    with pytest.raises(IncompatibleError, match=f"{bert} holds no tokenizer that can be read: "):
        load(bert)


@pytest.mark.parametrize("kind", ["bert", "zzz"])
def test_code_that_comes_with_a_model_is_never_run(bert, tmp_path, kind, monkeypatch):
    mark = tmp_path / "ran"
    (bert / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass A: pass\n")
    names = ("AutoConfig", "AutoModel", "AutoTokenizer")
    code = dict.fromkeys(names, "evil.A") | {"AutoTokenizer": ["evil.A", "evil.A"]}
    change(bert, model_type=kind, auto_map=code)
    change(bert, "tokenizer_config.json", auto_map=code)
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    if kind == "bert":
        assert load(bert).layout.hidden == tinymodels.HIDDEN
    else:
        refused(bert)
    assert not mark.exists()


def test_an_artifact_never_names_code(bert, tmp_path):
    change(bert, auto_map={"AutoModel": "evil.A"})
    folder = quick.moved(tinymodels.recipe(bert, strategies=["full"])).saved(tmp_path / "out")
    for path in folder.iterdir():
        assert b"auto_map" not in path.read_bytes(), path.name


# -- weights that the checkpoint does not hold

LACKING = "encoder.layer.1.output.dense.bias"


@pytest.fixture
def lacking(bert):
    tensors = load_file(bert / "model.safetensors")
    del tensors[LACKING]
    save_file(tensors, bert / "model.safetensors", metadata={"format": "pt"})
    return bert


def test_a_weight_that_the_checkpoint_lacks_is_fresh(lacking, models):
    backbone = load(lacking)
    assert backbone.fresh == {backbone.body.get_parameter(LACKING)}
    assert load(models["bert"]).fresh == frozenset()


def test_a_fresh_weight_trains_and_is_saved_even_under_a_frozen_body(lacking, tmp_path):
    recipe = tinymodels.recipe(lacking, strategies=["head-only"], learning_rate=1e-2)
    before = quick.build(recipe).backbone.body.get_parameter(LACKING).detach().clone()
    result = hub_core.train(recipe, toydata.labelled(48), out=tmp_path / "out", prove=False)
    stored = load_file(tmp_path / "out" / "delta.safetensors")
    assert set(stored) == {f"backbone.body.{LACKING}"}
    assert not torch.equal(stored[f"backbone.body.{LACKING}"], before)
    loaded = hub_core.load(tmp_path / "out")
    assert loaded.predict(["fine"]) == result.predictor.predict(["fine"])
    assert hub_core.verify(tmp_path / "out").same


# -- identity


@pytest.fixture
def adapter(bert, tmp_path):
    folder = quick.moved(tinymodels.recipe(bert, strategies=["lora"])).saved(tmp_path / "adapter")
    return folder, bert


def identity(folder):
    return load(folder).identity


def test_a_changed_byte_of_the_weights_is_another_backbone(adapter):
    folder, bert = adapter
    wanted = identity(bert)
    content = bytearray((bert / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (bert / "model.safetensors").write_bytes(content)
    have = identity(bert)
    assert have.fingerprint != wanted.fingerprint
    assert have.config == wanted.config
    with pytest.raises(BaseMismatchError) as caught:
        hub_core.load(folder, backbone=str(bert))
    assert caught.value.message == (
        "bert is not the backbone of this artifact: its weights have sha256 "
        f"{have.fingerprint[:16]}…, the artifact was trained on {wanted.fingerprint[:16]}…"
    )
    assert caught.value.hint == "give the right bert with --backbone"
    with pytest.raises(BaseMismatchError) as caught:
        hub_core.load(folder)
    assert caught.value.message == (
        f"the backbone bert (fingerprint {wanted.fingerprint[:16]}…) was not found on this machine"
    )


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_changed_config_or_tokenizer_is_another_backbone(adapter, name):
    folder, bert = adapter
    (bert / name).write_text((bert / name).read_text() + "\n")
    with pytest.raises(BaseMismatchError, match="its configuration and tokenizer have sha256"):
        hub_core.load(folder, backbone=str(bert))


def test_a_moved_backbone_is_found_where_it_is_said_to_be(adapter, tmp_path, monkeypatch):
    folder, bert = adapter
    texts = ["a fine day", "sour"]
    before = hub_core.load(folder).predict(texts)
    moved = bert.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("HUB_CORE_CACHE", str(tmp_path / "no-memory"))
    with pytest.raises(BaseMismatchError) as caught:
        hub_core.load(folder)
    assert caught.value.hint == (
        "say where it is with --backbone FOLDER, or set HUB_BACKBONES to folders of models"
    )
    assert hub_core.load(folder, backbone=str(moved)).predict(texts) == before
    monkeypatch.setenv("HUB_CORE_CACHE", str(tmp_path / "no-memory-again"))
    (tmp_path / "adapters").mkdir()
    shutil.copy(moved / "config.json", tmp_path / "adapters")
    save_file({"a": torch.zeros(1)}, tmp_path / "adapters" / "adapter_model.safetensors")
    monkeypatch.setenv("HUB_BACKBONES", str(tmp_path))
    assert hub_core.load(folder).predict(texts) == before


def test_models_that_share_weights_are_told_apart(models, tmp_path):
    """The tiny RoBERTa and XLM-RoBERTa have the same weights and other configurations."""
    first, second = (identity(models[name]) for name in ("roberta", "xlm-roberta"))
    assert first.fingerprint == second.fingerprint
    recipe = tinymodels.recipe(models["roberta"], strategies=["lora"])
    folder = quick.moved(recipe).saved(tmp_path / "adapter")
    identity(models["xlm-roberta"])
    assert hub_core.load(folder).model.backbone.body.config.model_type == "roberta"


def test_the_same_bytes_anywhere_are_the_same_backbone(models, tmp_path):
    copy = shutil.copytree(models["bert"], tmp_path / "copy")
    assert identity(copy).fingerprint == identity(models["bert"]).fingerprint
    assert identity(copy).config == identity(models["bert"]).config
    assert identity(copy).name == "copy"


# -- the Hub


@pytest.fixture
def hub(models, tmp_path, monkeypatch):
    """``snapshot_download`` that gives the tiny BERT; a list of what it was asked for."""
    snapshot = tmp_path / "snapshots" / COMMIT
    shutil.copytree(models["bert"], snapshot)
    asked = []

    def download(name, **settings):
        if settings["dry_run"]:
            return []
        asked.append((name, settings))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def test_a_hub_id_is_pinned_to_its_commit(hub):
    backbone = load("tiny/bert", revision="main")
    assert backbone.identity.hint == f"tiny/bert@{COMMIT}"
    assert backbone.identity.name == "tiny/bert"
    assert (hub[0][0], hub[0][1]["revision"]) == ("tiny/bert", "main")
    assert (hub[-1][0], hub[-1][1]["revision"]) == ("tiny/bert", COMMIT)
    assert "*.safetensors" in hub[-1][1]["allow_patterns"]
    asked = [pattern for _, settings in hub for pattern in settings["allow_patterns"]]
    assert not any(pattern.endswith((".bin", ".py", "*")) for pattern in asked)


def test_planning_fetches_no_weights(hub):
    plan(parse(tinymodels.recipe("tiny/bert", strategies=["lora"])), installed(), Context())
    [(_, settings)] = hub
    assert not any("safetensors" in pattern for pattern in settings["allow_patterns"])


def test_an_artifact_on_a_hub_model_fetches_its_commit_and_nothing_else(hub, tmp_path, monkeypatch):
    folder = quick.moved(tinymodels.recipe("tiny/bert", strategies=["lora"])).saved(tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("tiny/bert", COMMIT)
    monkeypatch.setenv("HUB_CORE_CACHE", str(tmp_path / "no-memory"))
    hub.clear()
    hub_core.load(folder).predict(["fine"])
    assert {(name, settings["revision"]) for name, settings in hub} == {("tiny/bert", COMMIT)}


@pytest.mark.parametrize("hint", ["tiny/bert@main", "tiny/bert", "/etc@" + COMMIT, "x@" + COMMIT])
def test_a_hint_that_is_not_pinned_is_never_followed(hub, tmp_path, monkeypatch, hint):
    folder = quick.moved(tinymodels.recipe("tiny/bert", strategies=["lora"])).saved(tmp_path / "a")
    values = json.loads((folder / "hub.json").read_text())
    values["backbone"]["hint"] = hint
    (folder / "hub.json").write_text(json.dumps(values))
    monkeypatch.setenv("HUB_CORE_CACHE", str(tmp_path / "no-memory"))
    hub.clear()
    with pytest.raises(BaseMismatchError):
        hub_core.load(folder)
    assert hub == []


def test_without_a_connection_the_error_says_what_to_do(monkeypatch):
    def download(*_, **__):
        raise LocalEntryNotFoundError("no connection\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(RemoteError) as found:
        load("tiny/bert")
    assert found.value.message == (
        "tiny/bert is not on this machine, and the Hub cannot be reached: no connection"
    )
    assert found.value.hint == "check your connection and HF_ENDPOINT, then try again"


@pytest.mark.parametrize("name", ["nobody/no-such-model", "a--b", "-a", ".x/y"])
def test_a_name_that_the_hub_does_not_have_is_refused(name):
    with pytest.raises(RemoteError) as found:
        load(name)
    assert found.value.message.startswith(name)
