"""Fusion keeps what adapters add, attends to it, and says of each adapter what it cannot use."""

import json
import shutil

import pytest
import quick
import tinymodels
import torch
import toydata
from torch import nn

import hub_core
from hub_core.build import assemble, plan
from hub_core.catalog import installed
from hub_core.declare import Task
from hub_core.errors import FormatError, IncompatibleError
from hub_core.loading import load
from hub_core.part import Context
from hub_core.recipe import parse
from hub_multitask.changes import Change, factors, sizes_of
from hub_multitask.fused import Fused

TEXTS = toydata.labelled(12, seed=8)
COLUMNS = {"text": "text", "label": "label"}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Adapters of one backbone, made in no time: their tensors are moved at random."""
    root = tmp_path_factory.mktemp("adapters")
    own = {
        "first": {"name": "lora", "r": 4, "targets": ["query", "value"]},
        "second": {"name": "lora", "r": 2, "targets": ["value", "down"]},
        "all": "full",
        "nothing": "head-only",
        "prompt": "toy-prefix",
    }
    for name, strategy in own.items():
        quick.moved(toydata.recipe(strategies=[strategy]), size=0.3).saved(root / name)
    return root


def fused(adapters, strategies=(), **options):
    own = {"name": "fusion", "adapters": [str(place) for place in adapters], **options}
    return toydata.recipe(strategies=[own, *strategies])


def built(values):
    ctx = Context(load=load)
    blueprint = plan(parse(values), installed(), ctx)
    return assemble(blueprint, [Task("main", ("bad", "good"), COLUMNS)], ctx)


def hidden(model):
    inputs = model.backbone.collate(
        [t.inputs for t in model.backbone.tokenize([r["text"] for r in TEXTS])]
    )
    model.eval()
    with torch.no_grad():
        return model.backbone.encode(inputs).hidden


def refusal(values, error=IncompatibleError):
    with pytest.raises(error) as caught:
        built(values)
    return caught.value.message, caught.value.hint


# -- the layer


@pytest.mark.parametrize("width", [0, 8])
def test_one_adapter_with_values_that_are_the_identity_gives_its_outputs(places, width):
    model = built(fused([places / "first"], width=width)).model
    for layer in layers_of(model):
        nn.init.zeros_((layer.value.up or layer.value.down).weight)
    alone, plain = load(places / "first").model, quick.build(toydata.recipe()).model
    scale = hidden(alone).abs().max()
    assert (hidden(model) - hidden(alone)).abs().max() <= 1e-5 * scale
    assert (hidden(plain) - hidden(alone)).abs().max() > 1e-2 * scale


@pytest.mark.parametrize("width", [0, 4])
def test_a_fused_layer_computes_the_papers_formula(width):
    generator = torch.Generator().manual_seed(4)
    linear, inputs = nn.Linear(5, 3), torch.randn(2, 7, 5, generator=generator)
    changes = [
        Change(
            torch.randn(2, 5, generator=generator), torch.randn(3, 2, generator=generator), None
        ),
        None,
        Change(torch.zeros(0, 5), torch.zeros(3, 0), torch.tensor([1.0, 2.0, 3.0])),
    ]
    layer = Fused(linear, linear, sizes_of(changes), width)
    layer.fill(changes)
    for parameter in layer.trained():
        nn.init.normal_(parameter, generator=generator)
    h = linear(inputs)
    z = [inputs @ changes[0].down.T @ changes[0].up.T, 0 * h, changes[2].shift.expand_as(h)]
    scores = torch.stack([(layer.query(h) * layer.key(one)).sum(-1) for one in z], -1).softmax(-1)
    expected = h + sum(scores[..., n : n + 1] * layer.value(one) for n, one in enumerate(z))
    assert torch.allclose(layer(inputs), expected, atol=1e-4)
    matrix = layer.value(torch.eye(3)).T
    distance = (matrix - torch.eye(3)).square().sum()
    assert torch.allclose(layer.value.distance(), distance, rtol=1e-4)


@pytest.mark.parametrize("width", [0, 2])
def test_attention_begins_even_and_values_near_the_identity(width):
    linear = nn.Linear(4, 4)
    changes = [Change(torch.eye(4)[:1], torch.eye(4)[:, :1] * k, None) for k in (1.0, 3.0)]
    layer = Fused(linear, linear, sizes_of(changes), width)
    layer.fill(changes)
    inputs = torch.ones(1, 4)
    assert (layer(inputs) - linear(inputs))[0].tolist() == pytest.approx([2, 0, 0, 0], abs=1e-2)
    assert layer.value.distance().item() < 1e-9


def test_factors_have_the_numerical_rank_and_give_the_matrix_back():
    generator = torch.Generator().manual_seed(6)
    weight = torch.randn(30, 20, generator=generator)
    low = torch.randn(30, 3, generator=generator) @ torch.randn(3, 20, generator=generator) / 50
    difference = (weight + low).double() - weight.double()  # rounded to float32 in between
    down, up = factors(difference, float(weight.abs().max()))
    assert (down.shape, up.shape) == ((3, 20), (30, 3))
    assert torch.allclose(up @ down, low.double(), atol=1e-6)
    assert factors(torch.zeros(4, 4).double(), 1.0)[0].shape == (0, 4)


# -- the model


def layers_of(model):
    return [module for module in model.modules() if isinstance(module, Fused)]


def test_only_attention_and_the_head_train_and_adapters_keep_their_bits(places):
    values = fused([places / "first", places / "second"])
    model = built(values).model
    wanted = {id(p) for layer in layers_of(model) for p in layer.trained()}
    wanted |= {id(parameter) for parameter in model.heads.parameters()}
    result = hub_core.train(values, toydata.labelled(), prove=False)
    after = dict(result.predictor.model.named_parameters())
    before = dict(model.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name, parameter in before.items() if id(parameter) in wanted}
    assert [name for name in before if name not in moved and ".base_layer" not in name]


def test_layers_that_no_adapter_changes_are_left_alone(places):
    model = built(fused([places / "first", places / "second"])).model
    roles = model.backbone.layout.linears
    wrapped = {
        role
        for path, role in roles.items()
        if isinstance(model.get_submodule(f"backbone.{path}"), Fused)
    }
    assert wrapped == {"query", "value", "down"}
    path = next(path for path, role in roles.items() if role == "down")
    ranks = [size["rank"] for size in model.get_submodule(f"backbone.{path}").sizes]
    assert ranks == [0, 2]


def test_an_artifact_needs_its_adapters_no_more(places, tmp_path):
    copies = [shutil.copytree(places / name, tmp_path / name) for name in ("first", "second")]
    out = tmp_path / "out"
    result = hub_core.train(fused(copies), toydata.labelled(), out=out, prove=False)
    for copy in copies:
        shutil.rmtree(copy)
    texts = [row["text"] for row in TEXTS]
    assert load(out).predict(texts) == result.predictor.predict(texts)
    report = result.manifest.report
    assert (report["fusion.adapters"], report["fusion.largest_rank"]) == (2, 4)
    state = next(m.state for m in result.manifest.methods if m.name == "fusion")
    assert state["adapters"] == ["first", "second"]
    assert str(tmp_path) not in json.dumps(result.manifest.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("strategies", "compressors"),
    [
        (["lora"], []),
        (["full"], []),
        (["top-layers"], ["quantize-int8"]),
        ([], ["prune-magnitude", "quantize-int8"]),
    ],
)
def test_fusion_composes(places, tmp_path, strategies, compressors):
    for before in (True, False):
        values = fused([places / "first", places / "second"])
        own = values["strategies"]
        values["strategies"] = [*own, *strategies] if before else [*strategies, *own]
        values["compressors"] = compressors
        out = tmp_path / str(before)
        result = hub_core.train(values, toydata.labelled(40), out=out, prove=False)
        texts = [row["text"] for row in TEXTS]
        assert load(out).predict(texts) == result.predictor.predict(texts)


def test_adapters_of_a_real_architecture_are_fused(tmp_path):
    body = tinymodels.save("bert", tmp_path / "bert")
    for name in ("one", "two"):
        recipe = tinymodels.recipe(body, strategies=["lora"])
        quick.moved(recipe, size=0.1).saved(tmp_path / name)
    values = tinymodels.recipe(body, strategies=[
        {"name": "fusion", "adapters": [str(tmp_path / "one"), str(tmp_path / "two")]},
    ])  # fmt: skip
    values["training"]["epochs"] = 6
    result = hub_core.train(values, toydata.labelled(), out=tmp_path / "out", prove=False)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    texts = [row["text"] for row in TEXTS]
    assert load(tmp_path / "out").predict(texts) == result.predictor.predict(texts)


def test_a_dry_run_reads_no_adapter_and_counts_at_least_what_trains(places):
    values = fused([places / "first"])
    model = built(values).model
    trained = [p for layer in layers_of(model) for p in layer.trained()]
    trained += model.heads.parameters()
    sketch = hub_core.dry_run(fused(["not/there"]), toydata.labelled())
    assert sketch.trained >= sum(parameter.numel() for parameter in trained)
    assert "delta.safetensors" in sketch.files


# -- what is refused


def test_fusion_of_no_adapter_is_refused():
    assert refusal(fused([])) == (
        "fusion: no adapter is named",
        'give adapters = ["FOLDER", …], trained on the backbone of this recipe',
    )


def test_adapters_of_another_backbone_are_refused_with_both_names(tmp_path):
    bodies = [tinymodels.save("bert", tmp_path / f"bert-{seed}", seed) for seed in (0, 1)]
    quick.moved(tinymodels.recipe(bodies[0], strategies=["lora"])).saved(tmp_path / "first")
    own = {"name": "fusion", "adapters": [str(tmp_path / "first")]}
    theirs, ours = (quick.build(tinymodels.recipe(body)).backbone.identity for body in bodies)
    assert refusal(tinymodels.recipe(bodies[1], strategies=[own])) == (
        f"fusion: the adapter first was trained on the backbone bert-0 ({theirs.fingerprint[:16]}…)"
        f", the recipe has bert-1 ({ours.fingerprint[:16]}…)",
        "fuse adapters of the recipe's backbone",
    )


def test_an_adapter_that_changes_nothing_is_refused(places):
    assert refusal(fused([places / "first", places / "nothing"])) == (
        "fusion: the adapter nothing changes no linear layer of its backbone",
        "leave it out",
    )


def test_an_adapter_that_is_not_there_is_refused(tmp_path):
    assert refusal(fused([tmp_path / "gone"]), FormatError) == (
        f"there is no folder {tmp_path / 'gone'}",
        "name a folder that 'hub train' wrote, or owner/name on the Hub",
    )


def test_a_change_of_too_large_a_rank_is_refused(places):
    message, hint = refusal(fused([places / "first"], largest_rank=3))
    assert message.startswith("fusion: the adapter first changes backbone.body.")
    assert message.endswith("by a matrix of rank 4, more than largest_rank = 3")
    assert hint == "raise largest_rank, or fuse adapters of a lower rank"


def test_an_artifact_that_changes_more_than_linear_layers_is_refused(places):
    for name in ("all", "prompt"):
        message, hint = refusal(fused([places / name]))
        start = f"fusion: the adapter {name} changes more than linear layers: "
        assert message.startswith(start)
        assert hint == ("fuse adapters that change linear layers alone, such as those of lora")
    assert "body." in message


def test_an_adapter_that_cannot_be_folded_is_refused(places, monkeypatch):
    def never(*_):
        raise IncompatibleError("a.b: Gate cannot be folded")

    monkeypatch.setattr("hub_core.model.TaskModel.bake", never)
    assert refusal(fused([places / "first"])) == (
        "fusion: what the adapter first adds is no change of a matrix: a.b: Gate cannot be folded",
        "fuse adapters that can be folded into linear layers, such as those of lora",
    )
