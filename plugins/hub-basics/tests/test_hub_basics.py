"""Each strategy trains exactly what it says, and nothing else moves by a bit."""

import pytest
import quick
import tinymodels
import torch
import toydata
from safetensors.torch import load_file, save_file

import hub_core
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.timeline import plan_run

HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
TOP = {
    "bert": ("backbone.body.encoder.layer.1.",),
    "distilbert": ("backbone.body.transformer.layer.1.",),
    "roberta": ("backbone.body.encoder.layer.1.",),
    "xlm-roberta": ("backbone.body.encoder.layer.1.",),
    "modernbert": ("backbone.body.layers.1.", "backbone.body.final_norm."),
}
LOWEST = {
    family: (prefixes[0].replace(".1.", ".0."), *prefixes) for family, prefixes in TOP.items()
}
LACKING = "encoder.layer.0.output.dense.bias"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: tinymodels.save(name, root / name) for name in tinymodels.FAMILIES}


@pytest.fixture
def lacking(tmp_path):
    """A tiny BERT whose checkpoint lacks a bias of its lowest layer."""
    folder = tinymodels.save("bert", tmp_path / "bert")
    tensors = load_file(folder / "model.safetensors")
    del tensors[LACKING]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def recipe(*strategies, **settings):
    """A recipe that splits nothing off, so that no best epoch is restored."""
    values = toydata.recipe(strategies=strategies, **settings)
    values["tasks"]["main"] |= {"validation": 0, "test": 0}
    return values


def plan(values):
    """Return the model, every parameter's name, and the plan of its run with 4 steps an epoch."""
    built = quick.build(values).built
    return built.names.values(), built, plan_run(built, values["training"]["epochs"], 4)


def trained_in(values):
    """Return stage → names of what trains in it; each stage must choose once and for all."""
    _, built, found = plan(values)
    names = {}
    for total, chosen in found.changes.items():
        stage = found.moment(total).clock.stage
        assert stage not in names
        names[stage] = {built.names[parameter] for parameter in chosen}
    return names


def only(values):
    [names] = trained_in(values).values()
    return names


def body(names):
    return {name for name in names if name.startswith("backbone.")}


def starting(names, *prefixes):
    return {name for name in names if name.startswith(prefixes)}


def before_and_after(values):
    """Return every tensor's values before and after training."""
    before = quick.build(values).model.state_dict()
    result = hub_core.train(values, toydata.labelled(24))
    return before, result.predictor.model.state_dict()


def moved(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


# -- full and head-only


@pytest.mark.parametrize("backbone", ["toy-encoder", "toy-bilstm"])
def test_full_trains_every_parameter(backbone):
    values = toydata.recipe(backbone=backbone, strategies=["full"])
    names, _, _ = plan(values)
    assert only(values) == set(names)


def test_full_trains_what_other_parts_added_too():
    names = only(toydata.recipe(strategies=["lora", "full"]))
    assert any("lora_A" in name for name in names)
    assert "backbone.body.layer.0.query.base_layer.weight" in names
    assert "backbone.embed.weight" in names


def test_full_moves_every_weight_matrix():
    before, after = before_and_after(recipe("full"))
    matrices = {name for name, tensor in before.items() if tensor.ndim > 1}
    assert matrices <= moved(before, after)


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_head_only_trains_the_head_and_nothing_else(models, family):
    assert only(tinymodels.recipe(models[family], strategies=["head-only"])) == HEAD


def test_head_only_leaves_every_bit_of_the_backbone():
    assert moved(*before_and_after(recipe("head-only"))) == HEAD


def test_a_fresh_weight_trains_beside_the_head(lacking):
    names = only(tinymodels.recipe(lacking, strategies=["head-only"]))
    assert names == HEAD | {f"backbone.body.{LACKING}"}


@pytest.mark.parametrize("other", ["full", "top-layers", "encoder-only"])
def test_head_only_is_refused_beside_what_trains_the_backbone(other):
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=["head-only", other]))
    assert caught.value.message == (
        f"these do not compose:\n  - strategy {other} needs 'open-body' (parts of the backbone "
        "may be trained), but strategy head-only has taken it away"
    )
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[other, "head-only"]))
    assert caught.value.message == (
        "these do not compose:\n  - strategy head-only needs 'frozen-body' (nothing in the "
        f"backbone trains), but strategy {other} has taken it away"
    )


# -- top-layers


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_one_top_layer_trains_with_all_that_comes_after_it(models, family):
    top = {"name": "top-layers", "layers": 1}
    values = tinymodels.recipe(models[family], strategies=[top])
    names, _, _ = plan(values)
    expected = starting(names, *TOP[family])
    assert len(expected) >= 4
    assert only(values) == HEAD | expected


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_with_as_many_as_there_are_all_layers_train_but_not_the_embeddings(models, family):
    top = {"name": "top-layers", "layers": 2}
    values = tinymodels.recipe(models[family], strategies=[top])
    names, built, _ = plan(values)
    assert only(values) == HEAD | starting(names, *LOWEST[family])
    left = set(names) - only(values)
    words = f"backbone.{built.model.backbone.layout.embeddings}.weight"
    assert words in left
    assert all(".embeddings." in name for name in left)


def test_top_layers_leaves_every_bit_below():
    before, after = before_and_after(recipe({"name": "top-layers", "layers": 1}))
    above = HEAD | starting(before, "backbone.body.layer.1.")
    assert moved(before, after) <= above
    assert {name for name in above if before[name].ndim > 1} <= moved(before, after)


@pytest.mark.parametrize("turn", [1, -1])
def test_top_layers_takes_nothing_away_that_another_part_opened(turn):
    top = {"name": "top-layers", "layers": 1}
    names = only(toydata.recipe(strategies=[top, "lora"][::turn]))
    low = starting(names, "backbone.body.layer.0.")
    assert len(low) == 2 * 6
    assert all(".lora_" in name for name in low)
    assert "backbone.body.layer.1.query.base_layer.weight" in names


def test_top_layers_takes_nothing_away_that_was_fresh(lacking):
    names = only(tinymodels.recipe(lacking, strategies=[{"name": "top-layers", "layers": 1}]))
    assert starting(names, "backbone.body.encoder.layer.0.") == {f"backbone.body.{LACKING}"}


def test_what_is_added_around_the_stack_trains_with_the_top_layers():
    names = only(toydata.recipe(strategies=["toy-prefix", {"name": "top-layers", "layers": 1}]))
    assert "backbone.body.vectors" in names
    assert starting(names, "backbone.body.base_layer.layer.0.") == set()
    assert "backbone.embed.weight" not in names


@pytest.mark.parametrize("layers", [3, 12])
def test_more_layers_than_there_are_are_refused(layers):
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[{"name": "top-layers", "layers": layers}]))
    assert caught.value.message == f"top-layers: layers = {layers}, but the backbone has 2"
    assert caught.value.hint == "give a number from 1 to 2"


def test_no_layers_are_refused():
    with pytest.raises(OptionsError) as caught:
        quick.build(toydata.recipe(strategies=[{"name": "top-layers", "layers": 0}]))
    assert caught.value.message == (
        "strategy top-layers: these options do not fit:\n"
        "  - layers = 0: input should be greater than or equal to 1"
    )


def test_top_layers_is_refused_on_a_backbone_without_layers():
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(backbone="toy-bilstm", strategies=["top-layers"]))
    assert caught.value.message == (
        "these do not compose:\n  - strategy top-layers needs 'layers' (is a stack of numbered "
        "layers that hand hidden states upwards), but nothing here gives it"
    )


# -- encoder-only


@pytest.mark.parametrize("backbone", ["toy-encoder", "toy-bilstm"])
def test_encoder_only_trains_the_head_then_the_whole_encoder(backbone):
    values = toydata.recipe(backbone=backbone, strategies=["encoder-only"])
    names, _, _ = plan(values)
    assert trained_in(values) == {"probe": HEAD, "encoder": body(names)}


@pytest.mark.parametrize("turn", [1, -1])
def test_encoder_only_with_lora_trains_only_adapters_in_the_second_stage(turn):
    values = toydata.recipe(strategies=["encoder-only", "lora"][::turn])
    names, _, _ = plan(values)
    adapters = {name for name in names if ".lora_" in name}
    assert len(adapters) == 2 * 12
    assert trained_in(values) == {"probe": HEAD, "encoder": adapters}


@pytest.mark.parametrize("turn", [1, -1])
def test_encoder_only_with_top_layers_trains_only_those_in_the_second_stage(turn):
    top = {"name": "top-layers", "layers": 1}
    values = toydata.recipe(strategies=["encoder-only", top][::turn])
    names, _, _ = plan(values)
    assert trained_in(values) == {
        "probe": HEAD,
        "encoder": starting(names, "backbone.body.layer.1."),
    }


def test_a_fresh_weight_does_not_hide_the_encoder_from_encoder_only(lacking):
    values = tinymodels.recipe(lacking, strategies=["encoder-only"])
    names, _, _ = plan(values)
    assert trained_in(values) == {"probe": HEAD, "encoder": body(names)}


def test_a_fresh_weight_trains_beside_the_adapters_of_encoder_only(lacking):
    values = tinymodels.recipe(lacking, strategies=["encoder-only", "lora"])
    lora = {name for name in plan(values)[0] if ".lora_" in name}
    [fresh] = trained_in(values)["encoder"] - lora
    assert fresh == f"backbone.body.{LACKING}".replace("dense.bias", "dense.base_layer.bias")


def test_the_head_of_encoder_only_is_the_one_that_the_probe_gave():
    """One epoch of probe is one epoch of head-only at the same rate, and then it is frozen."""
    _, both = before_and_after(recipe("encoder-only", epochs=2))
    start, probe = before_and_after(recipe("head-only", epochs=1, learning_rate=1e-2))
    assert moved(start, probe) == HEAD
    assert not moved(start, both).isdisjoint(body(both))
    assert HEAD.isdisjoint(moved(probe, both))


def test_the_probe_leaves_every_bit_of_the_encoder():
    """The encoder's rate is too small to move a bit, the probe's is not."""
    before, after = before_and_after(recipe("encoder-only", epochs=2, learning_rate=1e-60))
    assert moved(before, after) == HEAD


@pytest.mark.parametrize(("share", "expected"), [(0.3, (3, 7)), (0.01, (1, 9)), (0.5, (5, 5))])
def test_the_probe_takes_its_share_of_the_epochs_and_one_at_least(share, expected):
    values = recipe({"name": "encoder-only", "probe_share": share}, epochs=10)
    assert plan(values)[2].epochs == expected


@pytest.mark.parametrize("share", [0, 1])
def test_a_probe_of_no_or_all_epochs_is_refused(share):
    with pytest.raises(OptionsError, match=f"probe_share = {share}: input should be "):
        quick.build(recipe({"name": "encoder-only", "probe_share": share}))


def test_encoder_only_is_refused_beside_other_stages():
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=["toy-lp-ft", "encoder-only"]))
    assert caught.value.message == (
        "these do not compose:\n  - strategy encoder-only needs 'free-stages' (no part has "
        "brought its own training stages), but strategy toy-lp-ft has taken it away"
    )


# -- rates


def first_rates(values):
    """Return stage → rate of its first step."""
    rates = {}

    def report(event, figures):
        if event == "step":
            rates.setdefault(figures["stage"], figures["rate"])

    hub_core.train(values, toydata.labelled(16), report=report)
    return rates


@pytest.mark.parametrize(
    ("strategy", "rate"),
    [
        ("full", 1e-4),
        ("head-only", 1e-2),
        ("top-layers", 2e-4),
        ("other-layers", 3e-3),
        ({"name": "other-layers", "layers": [0]}, 2e-4),
        ({"name": "other-layers", "groups": ["norms", "attention"]}, 2e-4),
    ],
)
def test_every_strategy_has_its_own_rate_where_the_recipe_gives_none(strategy, rate):
    assert first_rates(recipe(strategy, epochs=1, warmup=0)) == {"train": pytest.approx(rate)}


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        ({}, None, (1e-2, 1e-4)),
        ({}, 3e-3, (1e-2, 3e-3)),
        ({"probe_learning_rate": 0.5}, None, (0.5, 1e-4)),
    ],
)
def test_the_probe_has_a_rate_of_its_own_and_the_encoder_the_recipe_s(options, given, expected):
    rate = {} if given is None else {"learning_rate": given}
    values = recipe({"name": "encoder-only", **options}, epochs=2, warmup=0, **rate)
    assert first_rates(values) == {
        "probe": pytest.approx(expected[0]),
        "encoder": pytest.approx(expected[1]),
    }
