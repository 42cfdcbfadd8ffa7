"""LoRA is W + s B A in every form, on the chosen layers only, and folds into what it computes."""

import math
from dataclasses import replace

import pytest
import quick
import tinymodels
import torch
import toydata
from peft import LoraConfig, get_peft_model, inject_adapter_in_model, set_peft_model_state_dict
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from transformers import AutoModel

import hub_core
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.model import Wrapper
from hub_peft.lora import Lora
from hub_peft.options import LoraOptions

FORMS = {"injected": frozenset(), "parametrized": frozenset({"plain-weights"})}
SCALES = [
    ({}, 2.0),
    ({"r": 4, "alpha": 2}, 0.5),
    ({"r": 1, "alpha": 3}, 3.0),
    ({"r": 4, "alpha": 8, "rslora": True}, 4.0),
    ({"r": 2, "alpha": 1, "rslora": True}, 1 / math.sqrt(2)),
]
HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
TEXTS = ["a very fine day", "this film was sour", "it"]
BOTH = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: tinymodels.save(name, root / name) for name in tinymodels.FAMILIES}


def adapted(form="injected", folder=None, size=0.3, **options):
    """Return a model with LoRA in one of its forms, its part, and all that was added moved."""
    values = {"strategies": ["head-only"]}
    built = quick.build(
        tinymodels.recipe(folder, **values) if folder else toydata.recipe(**values)
    ).built
    part = Lora(LoraOptions(**options))
    [ctx] = built.contexts
    torch.manual_seed(7)
    part.prepare(built.model, replace(ctx, needs=FORMS[form]))
    if size:
        _move(built.model, part, size)
    return built.model.eval(), part


def _move(model, part, size):
    """Move A, B and magnitudes alike in both forms: in the order of the layers and their names."""
    generator = torch.Generator().manual_seed(3)
    keyed = sorted((key, parameter) for parameter, key in part._keys.items())
    with torch.no_grad():
        for _, parameter in keyed:
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


def pieces(model, part):
    """Return path → (W, b, A, B) of every adapted layer."""
    found = {key: parameter for parameter, key in part._keys.items()}
    result = {}
    for path, linear in model.linears():
        if f"{path}.lora_A.weight" in found:
            weight = linear.weight
            if parametrize.is_parametrized(linear):
                weight = linear.parametrizations.weight.original
            matrices = [found[f"{path}.lora_{letter}.weight"] for letter in "AB"]
            all_of_it = (weight, linear.bias, *matrices)
            result[path] = tuple(None if t is None else t.detach().clone() for t in all_of_it)
    assert result
    return result


def hidden(model):
    backbone = model.backbone
    inputs = backbone.collate([found.inputs for found in backbone.tokenize(TEXTS)])
    return backbone.encode(inputs).hidden


def close(found, expected, size=1e-5):
    torch.testing.assert_close(found, expected, rtol=size, atol=size)


def rows(linear_in):
    return torch.randn(5, linear_in, generator=torch.Generator().manual_seed(1))


# -- what it computes


@BOTH
@pytest.mark.parametrize(("options", "scale"), SCALES)
def test_every_adapted_layer_computes_the_closed_form(form, options, scale):
    model, part = adapted(form, **options)
    found = pieces(model, part)
    assert len(found) == 12
    for path, (weight, bias, a, b) in found.items():
        inputs = rows(weight.shape[1])
        output = model.get_submodule(path)(inputs)
        close(output, inputs @ (weight + scale * b @ a).T + bias)
        assert not torch.allclose(output, F.linear(inputs, weight, bias), atol=1e-2)


@BOTH
@pytest.mark.parametrize("options", [{}, {"init": "gaussian"}, {"rslora": True, "r": 3}])
def test_before_training_outputs_are_those_of_the_backbone_to_the_bit(form, options):
    plain = quick.build(toydata.recipe(strategies=["head-only"])).model
    model, part = adapted(form, size=0, **options)
    assert all(not b.any() and a.any() for _, _, a, b in pieces(model, part).values())
    assert torch.equal(hidden(model), hidden(plain))
    moved, _ = adapted(form, **options)
    assert not torch.allclose(hidden(moved), hidden(plain), atol=1e-2)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("options", [{}, {"rslora": True, "r": 2, "alpha": 5}])
def test_the_parametrized_form_gives_the_outputs_and_gradients_of_the_injected(
    models, family, options
):
    outputs, gradients = [], []
    for form in FORMS:
        model, part = adapted(form, models[family], **options)
        found = hidden(model)
        found.square().mean().backward()
        outputs.append(found.detach())
        gradients.append({key: p.grad for p, key in part._keys.items()})
    close(outputs[0], outputs[1])
    assert gradients[0].keys() == gradients[1].keys()
    for key, gradient in gradients[0].items():
        assert gradient.any(), key
        close(gradient, gradients[1][key])


def test_a_later_part_that_needs_plain_weights_gets_the_parametrized_form():
    alone = quick.build(toydata.recipe(strategies=["lora"])).model
    assert not any(parametrize.is_parametrized(linear) for _, linear in alone.linears())
    masked = quick.build(toydata.recipe(strategies=["lora"], compressors=["toy-mask"])).model
    for _, linear in masked.linears():
        assert "LowRank" in str(linear.parametrizations.weight[0])
    assert not any("base_layer" in name for name, _ in masked.named_modules())


@pytest.mark.parametrize("init", ["default", "gaussian"])
def test_a_begins_as_asked(init):
    model, part = adapted(size=0, init=init, r=16)
    for weight, _, a, _ in pieces(model, part).values():
        if init == "gaussian":  # deviation 1 / r
            assert a.std().item() == pytest.approx(1 / 16, rel=0.2)
        else:  # uniform within 1 / sqrt(in)
            bound = 1 / math.sqrt(weight.shape[1])
            assert 0.9 * bound < a.abs().max().item() <= bound


# -- which layers


@BOTH
@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_all_linear_layers_of_the_layers_are_adapted_by_default(models, family, form):
    model, part = adapted(form, models[family])
    layout = model.backbone.layout
    assert set(pieces(model, part)) == {f"backbone.{path}" for path in layout.linears}


@BOTH
@pytest.mark.parametrize(
    ("family", "targets"),
    [("bert", ["query"]), ("bert", ["down"]), ("distilbert", ["value", "attention-out"]),
     ("roberta", ["up", "key"]), ("modernbert", ["qkv"]), ("modernbert", ["down"])],
)  # fmt: skip
def test_only_chosen_roles_are_adapted(models, family, targets, form):
    model, part = adapted(form, models[family], targets=targets)
    linears = model.backbone.layout.linears
    expected = {f"backbone.{path}" for path, role in linears.items() if role in targets}
    assert len(expected) == 2 * len(targets)
    assert set(pieces(model, part)) == expected
    changed = {
        path
        for path, linear in model.linears()
        if model.get_submodule(path) is not linear or parametrize.is_parametrized(linear)
    }
    assert changed == expected
    assert len(part._added) == 2 * len(expected)


@pytest.mark.parametrize("others", [[], ["query"]])
def test_roles_that_the_backbone_lacks_are_refused(models, others):
    with pytest.raises(IncompatibleError) as caught:
        adapted(folder=models["bert"], targets=["gate", *others, "qkv"])
    assert caught.value.message == "lora: the backbone has no linear layer of the roles gate, qkv"
    assert caught.value.hint == "it has attention-out, down, key, query, up, value"


def test_an_unknown_role_is_refused():
    with pytest.raises(OptionsError) as caught:
        quick.build(toydata.recipe(strategies=[{"name": "lora", "targets": ["query", "head"]}]))
    assert caught.value.message == (
        "strategy lora: these options do not fit:\n  - targets.1 = 'head': input should be "
        "'query', 'key', 'value', 'qkv', 'attention-out', 'up', 'gate', 'down' or 'other'"
    )


def test_a_layer_that_has_an_adapter_is_refused():
    one, two = ({"name": "lora", "targets": targets} for targets in (["query"], ["key", "query"]))
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[one, two]))
    assert caught.value.message == (
        "lora: backbone.body.layer.0.query has an adapter of PEFT already"
    )
    assert caught.value.hint == "choose targets that do not overlap, or take one of them out"


@pytest.mark.parametrize(
    ("backbone", "options", "expected"),
    [
        # 2 layers of 4 layers 32 x 32 and 2 of 32 x 64: r * 2 * (4 * 64 + 2 * 96)
        ("toy-encoder", {"r": 8}, 7168),
        ("toy-encoder", {"r": 1}, 896),
        ("toy-encoder", {"r": 3, "targets": ["up", "query"]}, 3 * 2 * (96 + 64)),
        # DoRA adds a magnitude for each output
        ("toy-encoder", {"r": 8, "dora": True}, 7168 + 2 * (4 * 32 + 64 + 32)),
        # qkv 32 to 96, attention-out, a gated up 32 to 128, down 64 to 32
        ("modernbert", {"r": 2}, 2 * 2 * (128 + 64 + 160 + 96)),
    ],
)
def test_the_parameters_that_train_are_r_times_inputs_and_outputs(
    models, backbone, options, expected
):
    parts = {"strategies": [{"name": "lora", **options}]}
    values = (
        tinymodels.recipe(models[backbone], **parts)
        if backbone in models
        else toydata.recipe(backbone=backbone, **parts)
    )
    built = quick.build(values)
    adapters = built.ever - built.model.head_parameters()
    assert sum(parameter.numel() for parameter in adapters) == expected


@pytest.mark.parametrize("compressors", [[], ["toy-mask"]])
def test_only_a_and_b_train_besides_the_head_in_both_forms(compressors):
    built = quick.build(toydata.recipe(strategies=["lora"], compressors=compressors))
    trained = {built.built.names[parameter] for parameter in built.ever}
    matrices = {name for name in built.built.names.values() if "lora_" in name}
    assert len(matrices) == 24
    assert trained == matrices | HEAD


def test_training_moves_every_a_and_b_and_no_bit_of_the_backbone():
    values = toydata.recipe(strategies=["lora"])
    before = {name: t.clone() for name, t in quick.build(values).model.named_parameters()}
    result = hub_core.train(values, toydata.labelled(48))
    after = dict(result.predictor.model.named_parameters())
    assert after.keys() == before.keys()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {name for name in after if "lora_" in name} | HEAD


# -- folding


@BOTH
@pytest.mark.parametrize("options", [{}, {"rslora": True, "r": 3}, {"targets": ["up"]}])
def test_baking_folds_the_closed_form_in_and_leaves_plain_layers(form, options):
    model, part = adapted(form, **options)
    found = pieces(model, part)
    scale = 16 / math.sqrt(3) if options.get("rslora") else 2.0
    with torch.no_grad():
        before = hidden(model)
        baked = {path: model.bake(path) for path, _ in list(model.linears())}
        close(hidden(model), before)
    for path, linear in baked.items():
        assert type(model.get_submodule(path)) is nn.Linear
        if path in found:
            weight, bias, a, b = found[path]
            close(linear.weight, weight + scale * b @ a, 1e-6)
            assert torch.equal(linear.bias, bias)
    assert not any("lora" in name for name in model.state_dict())


def test_injected_adapters_stay_beside_their_layers_and_parametrized_ones_are_folded():
    for form in FORMS:
        model, part = adapted(form)
        with torch.no_grad():
            part.finalize(model, None)
        there = any("lora" in name for name in model.state_dict())
        assert there == (form == "injected")


class Twice(Wrapper):
    """Doubles what it is given."""

    def forward(self, *inputs):
        return 2 * self.base_layer(*inputs)


@BOTH
@pytest.mark.parametrize("path", ["backbone.body.layer.0.query", "backbone.body.layer.0"])
def test_what_another_part_wrapped_around_a_layer_or_its_holder_stays(form, path):
    built = quick.build(toydata.recipe(strategies=["head-only"])).built
    built.model.wrap(path, Twice)
    before = hidden(built.model)
    part = Lora(LoraOptions())
    part.prepare(built.model, replace(built.contexts[0], needs=FORMS[form]))
    assert isinstance(built.model.get_submodule(path), Twice)
    assert torch.equal(hidden(built.model), before)
    _move(built.model, part, 0.3)
    linear = "backbone.body.layer.0.query"
    weight, bias, a, b = pieces(built.model, part)[linear]
    inputs = rows(32)
    factor = 2 if path == linear else 1
    close(
        built.model.get_submodule(linear)(inputs),
        factor * F.linear(inputs, weight + 2 * b @ a, bias),
    )


# -- DoRA


def magnitudes(part):
    end = ".lora_magnitude_vector.weight"
    return {key.removesuffix(end): p for p, key in part._keys.items() if key.endswith(end)}


def test_dora_begins_at_the_backbone_s_outputs():
    plain = quick.build(toydata.recipe(strategies=["head-only"])).model
    model, part = adapted(size=0, dora=True)
    assert len(magnitudes(part)) == 12
    close(hidden(model), hidden(plain))


@pytest.mark.parametrize(("options", "scale"), SCALES[:4])
def test_dora_is_magnitudes_times_normed_rows(options, scale):
    model, part = adapted(dora=True, **options)
    learned = magnitudes(part)
    for path, (weight, bias, a, b) in pieces(model, part).items():
        direction = weight + scale * b @ a
        updated = learned[path][:, None] * direction / direction.norm(dim=1, keepdim=True)
        inputs = rows(weight.shape[1])
        close(model.get_submodule(path)(inputs), F.linear(inputs, updated, bias))
        with torch.no_grad():
            close(model.bake(path).weight, updated)


@pytest.mark.parametrize("options", [{"dora": True}, {"dora": True, "rslora": True, "r": 2}, {}])
def test_peft_computes_the_same_from_the_same_tensors(models, options):
    model, part = adapted(folder=models["bert"], targets=["query", "down"], **options)
    config = LoraConfig(
        r=options.get("r", 8),
        lora_alpha=16,
        target_modules=r".*(query|layer\.\d\.output\.dense)",
        use_dora=options.get("dora", False),
        use_rslora=options.get("rslora", False),
    )
    plain = get_peft_model(AutoModel.from_pretrained(models["bert"]), config).eval()
    stored = dict(model.named_parameters())
    portable = part.portable(model)
    tensors = {theirs: stored[ours].detach() for ours, theirs in portable.names.items()}
    found = set_peft_model_state_dict(plain, tensors)
    assert found.unexpected_keys == []
    assert not [key for key in found.missing_keys if "lora" in key]
    inputs = model.backbone.collate([t.inputs for t in model.backbone.tokenize(TEXTS)])
    inputs = {"attention_mask" if k == "mask" else k: v for k, v in inputs.items()}
    close(plain(**inputs).last_hidden_state, hidden(model))


# -- what PEFT is told


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_both_forms_have_the_same_file(models, family):
    files = []
    for form in FORMS:
        model, part = adapted(form, models[family])
        portable = part.portable(model)
        stored = dict(model.named_parameters())
        files.append({
            "config": portable.config,
            "tensors": {theirs: stored[ours] for ours, theirs in portable.names.items()},
        })  # fmt: skip
    one, two = files
    assert one["config"] == two["config"]
    assert one["tensors"].keys() == two["tensors"].keys()
    assert all(torch.equal(one["tensors"][key], two["tensors"][key]) for key in one["tensors"])


@pytest.mark.parametrize(
    ("targets", "count"), [([], 7 * 6), (["down"], 7), (["up", "attention-out", "down"], 21)]
)
def test_peft_adapts_the_same_layers_of_a_deep_model(tmp_path, targets, count):
    """From 20 names on PEFT shortens them, and a pooler, which we leave out, may fit those."""
    folder = tinymodels.save("bert", tmp_path / "deep", num_hidden_layers=7)
    model, part = adapted(folder=folder, targets=targets)
    ours = {path.removeprefix("backbone.body.") for path in pieces(model, part)}
    assert len(ours) == count
    portable = part.portable(model)
    plain = AutoModel.from_pretrained(folder)
    assert plain.pooler is not None
    inject_adapter_in_model(LoraConfig(**portable.config), plain)
    theirs = {name for name, module in plain.named_modules() if hasattr(module, "lora_A")}
    assert theirs == ours


def test_only_a_transformers_body_has_a_portable_form():
    model, part = adapted()
    assert part.portable(model) is None


# -- dropout, and the form that does not exist


@pytest.mark.parametrize("options", [{"dropout": 0.1}, {"dora": True}])
def test_dropout_or_dora_is_refused_where_plain_weights_are_needed(options):
    with pytest.raises(IncompatibleError) as caught:
        quick.build(
            toydata.recipe(strategies=[{"name": "lora", **options}], compressors=["toy-mask"])
        )
    assert caught.value.message == (
        "these do not compose:\n  - compressor toy-mask needs 'plain-weights' (what a linear "
        "layer computes is the one matrix a later part sees), but strategy lora has taken it away"
    )


def test_dropout_drops_the_update_s_input_in_training_only():
    model, part = adapted(dropout=0.5)
    path = "backbone.body.layer.0.query"
    weight, bias, a, b = pieces(model, part)[path]
    layer, inputs = model.get_submodule(path), rows(32)
    close(layer(inputs), F.linear(inputs, weight + 2 * b @ a, bias))
    layer.train()
    torch.manual_seed(0)
    dropped = F.dropout(inputs, 0.5)
    torch.manual_seed(0)
    close(layer(inputs), F.linear(inputs, weight, bias) + 2 * dropped @ a.T @ b.T)


def test_lora_has_its_own_rate_where_the_recipe_gives_none():
    rates = []

    def report(event, figures):
        if event == "step":
            rates.append(figures["rate"])

    values = toydata.recipe(strategies=["lora"], epochs=1, warmup=0)
    hub_core.train(values, toydata.labelled(16), report=report)
    assert rates[0] == pytest.approx(1e-3)
