"""The smallest weights of linear layers become zero, as many as asked, and stay the same."""

import json

import pytest
import quick
import tinymodels
import torch
import toydata
from torch import nn

import hub_core
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.part import Context
from hub_prune.magnitude import PruneMagnitude
from hub_prune.options import MagnitudeOptions

SHARES = [0.1, 0.3, 0.5, 0.77, 0.99]
SCOPES = pytest.mark.parametrize("scope", ["layer", "global"])
QUERY = "backbone.body.layer.0.query"


def pruning(sparsity=0.5, scope="layer"):
    return {"name": "prune-magnitude", "sparsity": sparsity, "scope": scope}


def weights(model):
    return {path: linear.weight.detach().clone() for path, linear in model.linears()}


def pruned(sparsity=0.5, scope="layer", change=lambda weights: None):
    """Return a pruned toy: its model, its part, and its weights before; ``change`` sets some."""
    built = quick.build(toydata.recipe(strategies=["head-only"])).built
    with torch.no_grad():
        change({path: linear.weight for path, linear in built.model.linears()})
        before = weights(built.model)
        part = PruneMagnitude(MagnitudeOptions(sparsity=sparsity, scope=scope))
        part.finalize(built.model, built.contexts[0])
    return built.model, part, before


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def zeros(tensor):
    return int((tensor == 0).sum())


# -- how many go, and which


@pytest.mark.parametrize("sparsity", SHARES)
def test_every_layer_has_exactly_the_asked_share_of_zeros(sparsity):
    model, part, before = pruned(sparsity)
    after = weights(model)
    assert len(after) == 12
    for path, weight in after.items():
        assert zeros(before[path]) == 0
        assert zeros(weight) == round(sparsity * weight.numel())
    assert part.report(model) == {"sparsity": pytest.approx(sparsity, abs=1e-3)}


@pytest.mark.parametrize("sparsity", SHARES)
def test_all_layers_together_have_exactly_the_asked_share_of_zeros(sparsity):
    model, part, _ = pruned(sparsity, "global")
    after = weights(model)
    total = flat(after).numel()
    assert total == 2 * (4 * 32 * 32 + 2 * 32 * 64)
    assert zeros(flat(after)) == round(sparsity * total)
    assert part.report(model) == {"sparsity": round(sparsity * total) / total}


def test_layers_of_small_weights_lose_all_of_them_globally_and_their_share_otherwise():
    def change(found):
        found[QUERY].mul_(1e-3)

    assert zeros(weights(pruned(0.3, "global", change)[0])[QUERY]) == 32 * 32
    assert zeros(weights(pruned(0.3, "layer", change)[0])[QUERY]) == round(0.3 * 32 * 32)


@SCOPES
@pytest.mark.parametrize("sparsity", SHARES)
def test_the_smallest_go_and_the_others_keep_every_bit(scope, sparsity):
    model, _, before = pruned(sparsity, scope)
    after = weights(model)
    pairs = [(before[path], after[path]) for path in after]
    for old, new in pairs if scope == "layer" else [(flat(before), flat(after))]:
        gone = new == 0
        assert old[gone].abs().max() < old[~gone].abs().min()
        assert torch.equal(new[~gone], old[~gone])


def test_signs_do_not_count():
    def change(found):
        weight = found[QUERY]
        weight.copy_(torch.linspace(0.1, 1, weight.numel()).view_as(weight))
        weight[:, ::2] *= -1

    model, _, before = pruned(0.25, "layer", change)
    gone = (weights(model)[QUERY] == 0).flatten()
    assert gone.tolist() == [True] * 256 + [False] * 768
    assert (before[QUERY].flatten()[gone] < 0).sum() == 128


def test_equal_weights_go_together():
    """A threshold cannot tell them apart, and a replay must not guess; the report is measured."""

    def change(found):
        weight = found[QUERY]
        weight.fill_(1.0)
        weight[:16] = 0.5  # half of them, of which a quarter is asked for
        weight[:16, ::2] *= -1

    model, part, _ = pruned(0.25, "layer", change)
    after = weights(model)
    assert torch.equal(after[QUERY] == 0, torch.arange(32).view(-1, 1).expand(32, 32) < 16)
    rest = sum(round(0.25 * w.numel()) for path, w in after.items() if path != QUERY)
    total = flat(after).numel()
    assert part.report(model) == {"sparsity": (rest + 512) / total}


def test_zeros_that_are_there_already_count():
    def change(found):
        found[QUERY][:24] = 0

    model, _, before = pruned(0.5, "layer", change)
    after = weights(model)
    assert torch.equal(after[QUERY], before[QUERY])
    assert zeros(after[QUERY]) == 24 * 32


@SCOPES
def test_a_sparsity_of_0_changes_no_bit(scope):
    model, part, before = pruned(0.0, scope)
    after = weights(model)
    assert all(torch.equal(after[path], before[path]) for path in before)
    assert part.report(model) == {"sparsity": 0.0}


@SCOPES
def test_only_weights_of_the_layers_are_pruned(scope):
    start = quick.build(toydata.recipe(strategies=["head-only"])).model.state_dict()
    model, _, before = pruned(0.9, scope)
    after = model.state_dict()
    assert after.keys() == start.keys()
    changed = {name for name in start if not torch.equal(start[name], after[name])}
    assert changed == {f"{path}.weight" for path in before}


@pytest.mark.parametrize(
    ("sparsity", "rule"), [(1, "less than 1"), (-0.1, "greater than or equal to 0")]
)
def test_a_share_outside_of_its_bounds_is_refused(sparsity, rule):
    with pytest.raises(OptionsError) as caught:
        quick.build(toydata.recipe(compressors=[pruning(sparsity)]))
    assert caught.value.message == (
        "compressor prune-magnitude: these options do not fit:\n"
        f"  - sparsity = {sparsity}: input should be {rule}"
    )


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_every_family_is_pruned_to_the_asked_share(tmp_path, family):
    folder = tinymodels.save(family, tmp_path / family)
    values = tinymodels.recipe(folder, strategies=["head-only"], compressors=[pruning(0.4)])
    model = quick.build(values).finish().built.model
    found = weights(model)
    assert len(found) == len(model.backbone.layout.linears) >= 8
    for weight in found.values():
        assert zeros(weight) == round(0.4 * weight.numel())


# -- what is kept for loading


@SCOPES
def test_the_state_is_the_largest_weight_that_went_of_each_layer(scope):
    _, part, before = pruned(0.5, scope)
    thresholds = part.state_dict()["thresholds"]
    assert thresholds.keys() == before.keys()
    for path, weight in before.items():
        own = weight if scope == "layer" else flat(before)
        gone = own.abs().flatten().sort().values[: round(0.5 * own.numel())]
        assert thresholds[path] == gone[-1].item()
    assert json.loads(json.dumps(part.state_dict())) == part.state_dict()


def test_a_replay_takes_the_thresholds_and_looks_at_no_weights():
    _, part, _ = pruned(0.5)
    again = PruneMagnitude(MagnitudeOptions(sparsity=0.5))
    again.load_state_dict(part.state_dict())
    built = quick.build(toydata.recipe(strategies=["head-only"])).built
    with torch.no_grad():
        for _, linear in built.model.linears():
            linear.weight.mul_(2)  # half of the weights would go, but fewer are that small
        before = weights(built.model)
        again.finalize(built.model, Context(restoring=True))
    for path, weight in weights(built.model).items():
        expected = before[path].abs() <= part.state_dict()["thresholds"][path]
        assert torch.equal(weight == 0, expected)
        assert zeros(weight) < 0.4 * weight.numel()
    assert again.state_dict() == part.state_dict()


@SCOPES
@pytest.mark.parametrize(("strategy", "form"), [("full", "whole"), ("lora", "delta")])
def test_loading_gives_the_same_zeros_to_the_bit(tmp_path, strategy, form, scope):
    values = toydata.recipe(strategies=[strategy], compressors=[pruning(0.6, scope)])
    trained = quick.moved(values)
    folder = trained.saved(tmp_path / "out")
    loaded = hub_core.load(folder)
    assert loaded.manifest.form == form
    expected = weights(trained.model)
    assert zeros(flat(expected)) == pytest.approx(0.6 * flat(expected).numel(), abs=12)
    for path, weight in weights(loaded.model).items():
        assert torch.equal(weight, expected[path])
    assert loaded.manifest.report == {
        "prune-magnitude.sparsity": zeros(flat(expected)) / flat(expected).numel()
    }


# -- with adapters


@SCOPES
@pytest.mark.parametrize("options", [{}, {"dora": True}, {"rslora": True, "targets": ["query"]}])
def test_adapters_are_folded_in_before_weights_are_compared(scope, options):
    strategy = {"name": "lora", **options}
    folded = quick.moved(toydata.recipe(strategies=[strategy])).finish().built.model
    with torch.no_grad():
        for path, _ in list(folded.linears()):
            folded.bake(path)
    values = toydata.recipe(strategies=[strategy], compressors=[pruning(0.5, scope)])
    model = quick.moved(values).finish().built.model
    assert not any("lora" in name for name in model.state_dict())
    before, after = weights(folded), weights(model)
    layers = [(before[path], after[path]) for path in after]
    for old, new in layers if scope == "layer" else [(flat(before), flat(after))]:
        gone = new == 0
        assert int(gone.sum()) == round(0.5 * gone.numel())
        assert old[gone].abs().max() < old[~gone].abs().min()
        assert torch.equal(new[~gone], old[~gone])
    for path in after:
        assert type(model.get_submodule(path)) is nn.Linear


def test_pruning_happens_after_training_and_not_before():
    values = toydata.recipe(strategies=["full"], compressors=[pruning(0.5)])
    quickly = quick.build(values)
    assert zeros(flat(weights(quickly.model))) == 0
    result = hub_core.train(values, toydata.labelled(24))
    plain = hub_core.train({**values, "compressors": []}, toydata.labelled(24))
    before, after = weights(plain.predictor.model), weights(result.predictor.model)
    for path, weight in after.items():
        gone = weight == 0
        assert zeros(weight) == round(0.5 * weight.numel())
        assert torch.equal(weight[~gone], before[path][~gone])


def test_integers_are_not_pruned():
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=["lora"], compressors=["quantize-int8", pruning()]))
    assert caught.value.message == (
        "these do not compose:\n  - compressor prune-magnitude needs 'float-weights' (the linear "
        "layers still hold floating-point weights), but compressor quantize-int8 has taken it away"
    )
