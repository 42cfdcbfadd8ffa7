"""Weights become 8-bit integers with a scale, no further off than half a step."""

import pytest
import quick
import tinymodels
import torch
import toydata
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import hub_core
from hub_core.errors import IncompatibleError
from hub_quantize.int8 import Int8Linear

CHANNELS = pytest.mark.parametrize("per_channel", [True, False])
# 2 layers of 4 weights of 32 x 32 and 2 of 32 x 64
INTEGERS = 2 * (4 * 32 * 32 + 2 * 32 * 64)
OUTPUTS = 2 * (4 * 32 + 64 + 32)


def linear(rows, bias=None):
    """Return a linear layer with these weights."""
    weight = torch.as_tensor(rows, dtype=torch.float32)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(torch.as_tensor(bias))
    return layer


def some(outputs=64, inputs=48):
    """Return a layer whose rows differ in size by a factor of a thousand."""
    generator = torch.Generator().manual_seed(2)
    size = torch.logspace(-2, 1, outputs)[:, None]
    return linear(size * torch.randn(outputs, inputs, generator=generator), torch.arange(outputs))


def dequantized(layer):
    return layer.scale * layer.weight_int8.float()


def compressor(per_channel=True):
    return {"name": "quantize-int8", "per_channel": per_channel}


# -- one layer


@CHANNELS
def test_no_weight_is_further_off_than_half_a_step(per_channel):
    layer = some()
    found = Int8Linear(layer, per_channel=per_channel)
    error = (dequantized(found) - layer.weight).abs()
    assert (error <= found.scale / 2 * (1 + 1e-5)).all()
    assert error.max() > found.scale.min() / 4  # it does round


@CHANNELS
def test_integers_lie_within_127_and_reach_it(per_channel):
    found = Int8Linear(some(), per_channel=per_channel)
    assert found.weight_int8.dtype == torch.int8
    sizes = found.weight_int8.int().abs()
    assert sizes.max() == 127
    if per_channel:
        assert sizes.amax(1).tolist() == [127] * 64


def test_integers_and_scales_are_those_by_hand():
    layer = linear([[127.0, -64.0, 0.4], [-2.54, 1.0, 0.0]])
    found = Int8Linear(layer, per_channel=True)
    assert found.scale.flatten().tolist() == pytest.approx([1.0, 0.02])
    assert found.weight_int8.tolist() == [[127, -64, 0], [-127, 50, 0]]
    found = Int8Linear(layer, per_channel=False)
    assert found.scale.tolist() == [[1.0]]
    assert found.weight_int8.tolist() == [[127, -64, 0], [-3, 1, 0]]


def test_each_output_has_a_scale_or_the_layer_has_one():
    layer = some()
    each = Int8Linear(layer, per_channel=True).scale
    assert each.shape == (64, 1)
    torch.testing.assert_close(each, layer.weight.detach().abs().amax(1, keepdim=True) / 127)
    one = Int8Linear(layer, per_channel=False).scale
    assert one.shape == (1, 1)
    assert one.item() == pytest.approx(layer.weight.abs().max().item() / 127)


@CHANNELS
@pytest.mark.parametrize("small", [0.0, 1e-45, 1e-38])
def test_a_row_without_a_weight_of_note_gives_its_bias(per_channel, small):
    layer = linear([[small, -small], [3.0, 4.0]], [0.5, -1.0])
    found = Int8Linear(layer, per_channel=per_channel)
    assert found.scale.isfinite().all()
    assert (found.scale > 0).all()
    outputs = found(torch.tensor([[10.0, -20.0]]))
    assert outputs[0, 0].item() == 0.5
    assert outputs[0, 1].item() == pytest.approx(30 - 80 - 1, rel=1e-2)


@CHANNELS
def test_a_layer_of_zeros_is_safe(per_channel):
    found = Int8Linear(linear(torch.zeros(3, 2), [1.0, 2.0, 3.0]), per_channel=per_channel)
    assert found(torch.ones(1, 2)).tolist() == [[1.0, 2.0, 3.0]]


@CHANNELS
def test_outputs_are_those_of_the_dequantized_weights_and_the_same_bias(per_channel):
    layer = some()
    found = Int8Linear(layer, per_channel=per_channel)
    inputs = torch.randn(3, 5, 48, generator=torch.Generator().manual_seed(4))
    assert torch.equal(found(inputs), F.linear(inputs, dequantized(found), layer.bias))
    most = inputs.abs().sum(-1, keepdim=True) * found.scale.flatten() / 2
    assert ((found(inputs) - layer(inputs)).abs() <= most + 1e-3).all()


def test_the_bias_is_kept_to_the_bit_and_none_stays_none():
    layer = some()
    assert torch.equal(Int8Linear(layer, per_channel=True).bias, layer.bias)
    found = Int8Linear(linear([[1.0, 2.0]]), per_channel=True)
    assert found.bias is None
    assert found(torch.tensor([[1.0, 1.0]])).item() == pytest.approx(3.0, rel=1e-2)


def test_quantizing_what_was_quantized_changes_no_integer():
    once = Int8Linear(some(), per_channel=True)
    twice = Int8Linear(linear(dequantized(once)), per_channel=True)
    assert torch.equal(once.weight_int8, twice.weight_int8)


# -- a model


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_no_linear_layer_is_left_and_outputs_are_close(tmp_path, family):
    folder = tinymodels.save(family, tmp_path / family)
    recipes = [
        tinymodels.recipe(folder, strategies=["head-only"], compressors=compressors)
        for compressors in ([], ["quantize-int8"])
    ]
    plain, small = (quick.build(values).finish().built.model for values in recipes)
    assert list(small.linears()) == []
    layout = small.backbone.layout
    assert layout.linears
    for path in layout.linears:
        found = small.backbone.get_submodule(path)
        assert type(found) is Int8Linear
        before = plain.backbone.get_submodule(path)
        assert (found.in_features, found.out_features) == (before.in_features, before.out_features)
        assert (found.bias is None) == (before.bias is None)
    for layer in small.layers():
        assert not any(isinstance(module, nn.Linear) for module in layer.modules())
    tokens = [found.inputs for found in plain.backbone.tokenize(["a fine day", "sour"])]
    inputs = plain.backbone.collate(tokens)
    with torch.no_grad():
        expected, found = (model.backbone.encode(inputs).hidden for model in (plain, small))
    difference = (found - expected).norm() / expected.norm()
    assert 0 < difference < 0.1


def test_heads_and_embeddings_stay_as_they_are():
    plain = quick.build(toydata.recipe(strategies=["head-only"])).model.state_dict()
    values = toydata.recipe(strategies=["head-only"], compressors=["quantize-int8"])
    small = quick.build(values).finish().built.model
    assert type(small.head("main").output) is nn.Linear
    kept = {name for name in small.state_dict() if name in plain}
    linears = {f"backbone.{path}.weight" for path in small.backbone.layout.linears}
    assert kept == plain.keys() - linears
    assert all(torch.equal(plain[name], small.state_dict()[name]) for name in kept)


@pytest.mark.parametrize(("per_channel", "scales"), [(True, OUTPUTS), (False, 12)])
def test_the_report_counts_bytes_before_and_after(tmp_path, per_channel, scales):
    values = toydata.recipe(strategies=["full"], compressors=[compressor(per_channel)])
    quickly = quick.build(values)
    folder = quickly.saved(tmp_path / "out")
    expected = {
        "quantize-int8.bytes_before": 4 * INTEGERS,
        "quantize-int8.bytes_after": INTEGERS + 4 * scales,
    }
    assert hub_core.load(folder).manifest.report == expected
    small = {path: quickly.backbone.get_submodule(path) for path in quickly.backbone.layout.linears}
    found = sum(layer.weight_int8.nbytes + layer.scale.nbytes for layer in small.values())
    assert found == expected["quantize-int8.bytes_after"]


@CHANNELS
@pytest.mark.parametrize("options", [{}, {"dora": True}, {"dropout": 0.1, "targets": ["query"]}])
def test_adapters_are_folded_in_before(options, per_channel):
    strategy = {"name": "lora", **options}
    folded = quick.moved(toydata.recipe(strategies=[strategy])).finish().built.model
    values = toydata.recipe(strategies=[strategy], compressors=[compressor(per_channel)])
    model = quick.moved(values).finish().built.model
    assert not any("lora" in name for name in model.state_dict())
    plain = dict(quick.build(toydata.recipe(strategies=["head-only"])).model.linears())
    for path, _ in list(folded.linears()):
        expected = folded.bake(path).weight
        found = model.get_submodule(path)
        off = (dequantized(found) - expected).abs()
        assert (off <= found.scale / 2 * (1 + 1e-5)).all()
        if not options.get("targets") or path.endswith("query"):
            away = (dequantized(found) - plain[path].weight).abs()
            assert (away > found.scale / 2 * (1 + 1e-5)).any()


# -- what is saved


@pytest.fixture
def transformers(tmp_path):
    return tinymodels.save("bert", tmp_path / "bert")


@CHANNELS
@pytest.mark.parametrize("backbone", ["toy", "bert"])
def test_a_whole_artifact_holds_integers_and_no_float_weights(
    tmp_path, transformers, backbone, per_channel
):
    parts = {"strategies": ["full"], "compressors": [compressor(per_channel)]}
    values = (
        tinymodels.recipe(transformers, **parts) if backbone == "bert" else toydata.recipe(**parts)
    )
    quickly = quick.moved(values)
    folder = quickly.saved(tmp_path / "out")
    stored = load_file(folder / "whole.safetensors")
    linears = quickly.backbone.layout.linears
    for path in linears:
        assert stored[f"backbone.{path}.weight_int8"].dtype == torch.int8
        scale = stored[f"backbone.{path}.scale"]
        outputs = len(stored[f"backbone.{path}.weight_int8"])
        assert scale.dtype == torch.float32
        assert scale.shape == ((outputs, 1) if per_channel else (1, 1))
        assert stored[f"backbone.{path}.bias"].dtype == torch.float32
        assert f"backbone.{path}.weight" not in stored
    assert sum(tensor.dtype == torch.int8 for tensor in stored.values()) == len(linears)
    loaded = hub_core.load(folder)
    assert loaded.manifest.form == "whole"
    found = loaded.model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())
    assert hub_core.verify(folder).difference == 0


@CHANNELS
def test_with_lora_the_adapter_is_kept_and_loading_quantizes_to_the_same_integers(
    tmp_path, per_channel
):
    values = toydata.recipe(strategies=["lora"], compressors=[compressor(per_channel)])
    quickly = quick.moved(values)
    folder = quickly.saved(tmp_path / "out")
    stored = load_file(folder / "delta.safetensors")
    assert all(".lora_" in name and t.dtype == torch.float32 for name, t in stored.items())
    assert len(stored) == 24
    found, expected = hub_core.load(folder).model.state_dict(), quickly.model.state_dict()
    assert found.keys() == expected.keys()
    assert sum(tensor.dtype == torch.int8 for tensor in expected.values()) == 12
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("later", "tag", "meaning"),
    [
        ("quantize-int8", "float-weights", "the linear layers still hold floating-point weights"),
        ("toy-shrink", "free-heads",
         "attention heads and feed-forward channels may still be removed"),
    ],
)  # fmt: skip
def test_what_needs_the_weights_is_refused_after_it(later, tag, meaning):
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=["full"], compressors=["quantize-int8", later]))
    assert caught.value.message == (
        f"these do not compose:\n  - compressor {later} needs '{tag}' ({meaning}), "
        "but compressor quantize-int8 has taken it away"
    )
