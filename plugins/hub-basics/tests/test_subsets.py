"""Named subsets, numbered layers, biases and the pooling layer train, and nothing else."""

import pytest
import quick
import tinymodels
import torch
import toydata

import hub_core
from hub_core import prefix
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.timeline import plan_run

HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
POOLER = {"backbone.body.pooler.dense.weight", "backbone.body.pooler.dense.bias"}
FAMILIES = tinymodels.FAMILIES
TEXTS = ["a very fine day", "sour"]
BIASED = [family for family in FAMILIES if family != "modernbert"]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: tinymodels.save(name, root / name) for name in FAMILIES}


def other(**options):
    return {"name": "other-layers", **options}


def trained(values):
    """Return the names of what trains from beginning to end, and all names of the body."""
    built = quick.build(values).built
    [chosen] = plan_run(built, values["training"]["epochs"], 4).changes.values()
    names = {built.names[parameter] for parameter in chosen}
    return names, {name for name in built.names.values() if name.startswith("backbone.")}


def refusal(values, error=IncompatibleError):
    with pytest.raises(error) as caught:
        quick.build(values)
    return caught.value.message, caught.value.hint


def before_and_after(values, rows):
    values["tasks"]["main"] |= {"validation": 0, "test": 0}
    before = quick.build(values).model.state_dict()
    result = hub_core.train(values, rows)
    return before, result.predictor.model.state_dict()


def moved(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


# -- named subsets

EXPECTED = {
    "norms": lambda name: "norm" in name.lower(),
    "embeddings": lambda name: ".embeddings." in name,
    "attention": lambda name: (
        ("attention" in name or ".attn." in name) and "norm" not in name.lower()
    ),
    "feed-forward": lambda name: (
        name.endswith(("dense.weight", "dense.bias", ".weight", ".bias"))
        and any(part in name for part in (".intermediate.", ".output.dense", ".ffn.", ".mlp."))
        and "attention" not in name
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("group", EXPECTED)
def test_a_named_subset_is_what_its_name_says_in_every_family(models, family, group):
    values = tinymodels.recipe(models[family], strategies=[other(groups=[group])])
    names, body = trained(values)
    expected = {name for name in body if EXPECTED[group](name)}
    assert expected
    assert names == HEAD | expected


@pytest.mark.parametrize("family", FAMILIES)
def test_the_named_subsets_together_are_the_whole_body(models, family):
    values = tinymodels.recipe(models[family], strategies=[other(groups=list(EXPECTED))])
    names, body = trained(values)
    assert names == HEAD | body


def test_the_pooler_is_a_subset_where_it_is_loaded(models):
    values = tinymodels.recipe(
        models["bert"], options={"pooling": "pooler"}, strategies=[other(groups=["pooler"])]
    )
    assert trained(values)[0] == HEAD | POOLER


def test_norms_train_where_nothing_is_said():
    assert trained(toydata.recipe(strategies=["other-layers"]))[0] == HEAD | {
        f"backbone.body.layer.{layer}.norms.{norm}.{kind}"
        for layer in (0, 1)
        for norm in (0, 1)
        for kind in ("weight", "bias")
    }


def test_only_the_numbered_layers_train_where_no_subset_is_named():
    names, body = trained(toydata.recipe(strategies=[other(layers=[1])]))
    assert names == HEAD | {name for name in body if name.startswith("backbone.body.layer.1.")}


def test_numbered_layers_count_from_the_lowest_and_add_to_the_subsets():
    chosen = other(layers=[0], groups=["embeddings"])
    names, body = trained(toydata.recipe(strategies=[chosen]))
    low = {name for name in body if name.startswith("backbone.body.layer.0.")}
    assert names == HEAD | low | {"backbone.embed.weight"}


def test_a_subset_is_added_to_what_other_parts_opened():
    names, body = trained(toydata.recipe(strategies=["lora", other(groups=["embeddings"])]))
    adapters = {name for name in body if ".lora_" in name}
    assert len(adapters) == 2 * 12
    assert names == HEAD | adapters | {"backbone.embed.weight"}


def test_every_bit_outside_the_subset_stays():
    values = toydata.recipe(strategies=[other(groups=["attention"])])
    before, after = before_and_after(values, toydata.labelled(24))
    found = moved(before, after)
    attention = {
        f"backbone.body.layer.{layer}.{name}"
        for layer in (0, 1)
        for name in ("query", "key", "value", "out")
    }
    assert {name.rpartition(".")[0] for name in found - HEAD} <= attention
    assert {f"{name}.weight" for name in attention} <= found


# -- what does not exist


@pytest.mark.parametrize(
    ("layers", "text"), [([0, 2], "layer 2"), ([7, 3, 7], "layer 3 and no layer 7")]
)
def test_layers_that_do_not_exist_are_refused(layers, text):
    assert refusal(toydata.recipe(strategies=[other(groups=[], layers=layers)])) == (
        f"other-layers: there is no {text}, the backbone has 2",
        "give numbers from 0, the lowest, to 1",
    )


@pytest.mark.parametrize("groups", [["pooler"], ["norms", "pooler"]])
def test_a_subset_that_matches_nothing_is_refused(models, groups):
    values = tinymodels.recipe(models["bert"], strategies=[other(groups=groups)])
    assert refusal(values) == (
        "other-layers: nothing in the backbone belongs to pooler",
        "it has norms, embeddings, attention, feed-forward",
    )


def test_a_layer_below_the_lowest_is_refused():
    message, _ = refusal(toydata.recipe(strategies=[other(layers=[-1])]), OptionsError)
    assert message == (
        "strategy other-layers: these options do not fit:\n"
        "  - layers.0 = -1: input should be greater than or equal to 0"
    )


def test_a_subset_nobody_knows_is_refused_with_those_that_there_are():
    message, _ = refusal(toydata.recipe(strategies=[other(groups=["biases"])]), OptionsError)
    assert message == (
        "strategy other-layers: these options do not fit:\n"
        "  - groups.0 = 'biases': input should be 'norms', 'embeddings', 'pooler', 'attention', "
        "'feed-forward' or 'surgical'"
    )


def test_other_layers_are_refused_on_a_backbone_without_layers():
    message, _ = refusal(toydata.recipe(backbone="toy-bilstm", strategies=["other-layers"]))
    assert message == (
        "these do not compose:\n  - strategy other-layers needs 'layers' (is a stack of numbered "
        "layers that hand hidden states upwards), but nothing here gives it"
    )


# -- biases


@pytest.mark.parametrize("family", BIASED)
def test_bitfit_trains_every_bias_and_no_matrix(models, family):
    names, body = trained(tinymodels.recipe(models[family], strategies=["bitfit"]))
    assert names == HEAD | {name for name in body if name.endswith(".bias")}


@pytest.mark.parametrize("family", BIASED)
def test_the_paper_s_subset_is_the_query_s_and_the_up_projection_s(models, family):
    few = {"name": "bitfit", "which": "query-and-up"}
    names, _ = trained(tinymodels.recipe(models[family], strategies=[few]))
    ends = ("q_lin.bias", "lin1.bias", "self.query.bias", "intermediate.dense.bias")
    assert len(names) == len(HEAD) + 2 * 2
    assert all(name.endswith(ends) for name in names - HEAD)


def test_bitfit_knows_the_biases_of_a_recurrent_layer():
    names, _ = trained(toydata.recipe(backbone="toy-bilstm", strategies=["bitfit"]))
    assert names == HEAD | {
        f"backbone.lstm.bias_{kind}_l0{turn}" for kind in ("ih", "hh") for turn in ("", "_reverse")
    }


def test_bitfit_takes_the_biases_under_adapters():
    names, body = trained(toydata.recipe(strategies=["lora", "bitfit"]))
    assert "backbone.body.layer.0.query.base_layer.bias" in names
    assert all(name.endswith(".bias") or ".lora_" in name for name in names - HEAD)
    assert {name for name in body if name.endswith(".bias")} <= names


def test_bitfit_is_refused_on_a_model_without_biases(models):
    assert refusal(tinymodels.recipe(models["modernbert"], strategies=["bitfit"])) == (
        "bitfit: nothing in the backbone has a bias",
        'train its norms instead: other-layers with groups = ["norms"]',
    )
    few = {"name": "bitfit", "which": "query-and-up"}
    assert refusal(tinymodels.recipe(models["modernbert"], strategies=[few])) == (
        'bitfit: which = "query-and-up", but the backbone has no biases of the roles query, up',
        'its linear layers have none; which = "all" takes every bias of the backbone',
    )


def test_bitfit_moves_biases_alone_and_stores_nothing_else(models, tmp_path):
    values = tinymodels.recipe(models["bert"], strategies=["bitfit"])
    before, after = before_and_after(values, toydata.labelled(40))
    found = moved(before, after)
    assert all(name.endswith(".bias") for name in found - HEAD)
    assert any(".output.LayerNorm.bias" in name for name in found)
    result = hub_core.train(values, toydata.labelled(40), out=tmp_path / "out", prove=False)
    body = {name for name in result.manifest.tensors if name.startswith("backbone.")}
    assert body == {name for name in before if name.startswith("backbone.")} & {
        name for name in before if name.endswith(".bias")
    }
    assert hub_core.load(tmp_path / "out").predict(TEXTS) == result.predictor.predict(TEXTS)


# -- the pooling layer


def pooled(folder, *strategies, **settings):
    return tinymodels.recipe(
        folder, options={"pooling": "pooler"}, strategies=strategies, **settings
    )


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_pooling_trains_the_pooling_layer_and_the_head(models, family):
    assert trained(pooled(models[family], "pooling"))[0] == HEAD | POOLER


def test_pooling_moves_nothing_else_and_keeps_what_all_layers_give(models, monkeypatch):
    depths, fill = [], prefix.Prefix._fill
    monkeypatch.setattr(
        prefix.Prefix, "_fill", lambda self, depth: [depths.append(depth), fill(self, depth)][1]
    )
    before, after = before_and_after(pooled(models["bert"], "pooling"), toydata.labelled(24))
    assert moved(before, after) == HEAD | POOLER
    assert depths == [2]


def test_pooling_is_refused_where_no_pooling_layer_is_loaded(models):
    message, _ = refusal(tinymodels.recipe(models["bert"], strategies=["pooling"]))
    assert message == (
        "these do not compose:\n  - strategy pooling needs 'pooler' (pools by a layer of its own "
        "that comes with the weights), but nothing here gives it"
    )


def test_top_layers_train_the_pooling_layer_too(models):
    top = {"name": "top-layers", "layers": 1}
    assert trained(pooled(models["bert"], top))[0] >= POOLER


@pytest.mark.parametrize("head", ["classification", "multi-label", "regression"])
def test_every_head_learns_over_the_pooling_layer_and_is_loaded_again(models, tmp_path, head):
    values = pooled(models["bert"], "pooling", head=head, epochs=4, learning_rate=1e-2)
    result = hub_core.train(values, toydata.DATA[head](40), out=tmp_path / "out", prove=False)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.manifest.tasks["main"].facts == {"pooling": "pooler"}
    assert hub_core.load(tmp_path / "out").predict(TEXTS) == result.predictor.predict(TEXTS)
