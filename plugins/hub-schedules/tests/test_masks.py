"""Masks are what the equations say, to the entry; what lies outside of them keeps its bits."""

import pytest
import quick
import tinymodels
import torch
import toydata
from safetensors.torch import load_file
from torch.nn import functional as F

import hub_core
from hub_core.catalog import installed
from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import tensors_of
from hub_core.part import Context
from hub_core.testing.rehearsal import rehearse
from hub_schedules.bits import unpacked
from hub_schedules.fisher import drawn, fisher_of
from hub_schedules.mask_options import ChildTuningOptions, MixoutOptions
from hub_schedules.masks import ChildTuning
from hub_schedules.mixout import Mixout

CHILD = {"name": "child-tuning", "p": 0.3}
FREE = {"name": "child-tuning", "variant": "free", "p": 0.25}
FISH = {"name": "fish-mask", "density": 0.01, "samples": 8}
HARD = {"weight_decay": 0.5, "warmup": 0.5, "learning_rate": 1e-2, "epochs": 2}
HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
FIRST = Clock(0, 4, 0, 1)


def observed(*strategies, rows=16, **settings):
    """Return a run whose parts have seen the data, with every tensor as it was then."""
    values = toydata.recipe(strategies=strategies, **settings)
    examples = toydata.labelled(rows)
    data = {"main": {"train": examples, "validation": examples[:4]}}
    run = rehearse(values, data, installed())
    run.built.observe()
    return run, {p: p.detach().clone() for p in run.model.parameters()}


def trained(run):
    """Train to the end, keeping no earlier epoch."""
    run.loop(validated=False).run()
    return run


def layer_weights(model):
    return [p for layer in model.layers() for p in layer.parameters()]


def matrices(model):
    return [p for p in model.backbone.parameters() if p.ndim > 1]


def saved(values, folder):
    """Train and save; return the result, loaded anew, with the same predictions."""
    result = hub_core.train(values, toydata.labelled(24), out=folder, prove=False)
    again = hub_core.load(folder, backbone=values["backbone"].get("model", ""))
    texts = [row["text"] for row in toydata.labelled(6, seed=9)]
    assert again.predict(texts) == result.predictor.predict(texts)
    return result


# -- the Fisher information


def test_the_fisher_information_is_that_of_a_logistic_regression_by_hand():
    run, _ = observed("head-only")
    head, batch = run.model.head("main"), run.batch()
    examples = drawn(run.model, [batch], 3, 1)
    found = fisher_of(run.model, examples, [head.output.weight, head.output.bias])
    expected = torch.zeros(len(found))
    with torch.no_grad():
        for one in examples:
            vector = head.vector(run.model.encode(one), one)[0]  # (D,)
            miss = F.softmax(head.output(vector), 0) - F.one_hot(one.targets[0], 2)  # (C,)
            gradient = torch.cat([torch.outer(miss, vector).flatten(), miss])
            expected += gradient**2 / 3
    assert len(examples) == 3
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-10)
    assert found.max() > 0


def test_examples_are_drawn_once_each_and_as_many_of_every_task():
    run, _ = observed("head-only")
    batch = run.batch(rows=run.rows["main"])
    parts = drawn(run.model, [batch], 7, 3)
    assert [len(part.rows) for part in parts] == [3, 3, 1]
    assert [row for part in parts for row in part.rows] == list(batch.rows[:7])
    assert sum(len(part.rows) for part in drawn(run.model, [batch], 1000, 3)) == 16


# -- child-tuning


def test_the_driven_mask_keeps_the_share_with_the_largest_fisher_information():
    run, _ = observed({**CHILD, "batches": 2}, "full")
    weights = layer_weights(run.model)
    fisher = torch.zeros(sum(p.numel() for p in weights))
    run.model.eval()
    batches = run.built.contexts[0].batches(2)
    for batch in batches:
        loss = run.model.head("main").loss(run.model(batch).scores, batch).mean()
        gradients = torch.autograd.grad(loss, weights)
        fisher += torch.cat([g.flatten() ** 2 for g in gradients]) / len(batches)
    kept = unpacked(run.built.parts[0].state_dict()["mask"], len(fisher))
    assert int(kept.sum()) == round(0.3 * len(fisher))
    assert fisher[kept].min() >= fisher[~kept].max()


@pytest.mark.parametrize(
    "others", [["full"], ["full", "galore"], ["full", "toy-low-rank-optimizer"]]
)
def test_weights_outside_of_the_driven_mask_keep_their_bits(others):
    run, before = observed(CHILD, *others, **HARD)
    weights = layer_weights(run.model)
    kept = unpacked(trained(run).built.parts[0].state_dict()["mask"],
                    sum(p.numel() for p in weights))  # fmt: skip
    moved = torch.cat([(p.detach() != before[p]).flatten() for p in weights])
    assert not moved[~kept].any()
    assert moved[kept].float().mean() > 0.5
    outside = [p for p in before if p not in set(weights) and p.ndim > 1]
    assert all(not torch.equal(p, before[p]) for p in outside)  # embeddings and head


def test_gradients_of_the_driven_child_are_not_scaled():
    run, _ = observed(CHILD, "full")
    part, weights = run.built.parts[0], layer_weights(run.model)
    for parameter in run.model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    part.on_gradients(run.model, FIRST)
    found = torch.cat([p.grad.flatten() for p in weights])
    kept = unpacked(part.state_dict()["mask"], len(found))
    assert torch.equal(found, 3.0 * kept)
    assert all(bool((p.grad == 3).all()) for p in run.model.head_parameters())


def free_gradients(run, step, noise=0):
    """Return what is left of gradients of ones, by name."""
    torch.manual_seed(noise)
    for parameter in run.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    run.built.parts[0].on_gradients(run.model, Clock(step, 9, 0, 1))
    return {name: p.grad for name, p in run.model.named_parameters()}


def test_free_gradients_are_kept_with_p_and_divided_by_it():
    run, _ = observed(FREE, "full")
    found = free_gradients(run, 0)
    body = torch.cat([g.flatten() for name, g in found.items() if name not in HEAD])
    assert set(body.tolist()) == {0.0, 4.0}
    deviation = (0.25 * 0.75 / len(body)) ** 0.5
    assert abs(float((body > 0).float().mean()) - 0.25) < 4 * deviation
    assert all(bool((found[name] == 1).all()) for name in HEAD)


def test_free_masks_depend_on_seed_step_and_weight_and_on_nothing_else():
    run, _ = observed(FREE, "full")
    first, same, later = (free_gradients(run, *at) for at in ((0, 1), (0, 2), (1, 1)))
    query, key = (f"backbone.body.layer.0.{name}.weight" for name in ("query", "key"))
    assert torch.equal(first[query], same[query])
    assert not torch.equal(first[query], later[query])
    assert not torch.equal(first[query], first[key])
    other, _ = observed(FREE, "full", seed=6)
    assert not torch.equal(first[query], free_gradients(other, 0)[query])


def test_free_masks_are_laid_on_adapters_too():
    run, _ = observed("lora", FREE)
    run.loop()
    for parameter in run.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    run.built.parts[1].on_gradients(run.model, FIRST)
    adapters = [p.grad for name, p in run.model.named_parameters() if "lora_" in name]
    assert set(torch.cat([g.flatten() for g in adapters]).tolist()) == {0.0, 4.0}


# -- fish-mask


def test_the_fish_mask_is_the_top_of_all_matrices_of_the_backbone():
    run, _ = observed(FISH)
    part, model = run.built.parts[0], run.model
    plain = quick.build(toydata.recipe(strategies=["full"])).model
    plain.heads.load_state_dict(model.heads.state_dict())
    weights = matrices(plain)
    fisher = torch.zeros(sum(p.numel() for p in weights))
    rows = [row for batch in run.built.contexts[0].batches(8) for row in batch.rows][:8]
    plain.eval()
    for row in rows:
        batch = plain.head("main").collate([row], plain.backbone)
        loss = plain.head("main").loss(plain(batch).scores, batch).mean()
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        pairs = zip(found, weights, strict=True)
        fisher += torch.cat([(0 * p if g is None else g).flatten() ** 2 for g, p in pairs])
    chosen = part.state_dict()["chosen"].long()
    rest = torch.ones(len(fisher), dtype=torch.bool)
    rest[chosen] = False
    assert len(chosen) == len(chosen.unique()) == round(0.01 * len(fisher))
    assert fisher[chosen].min() >= fisher[rest].max() * (1 - 1e-4)


def test_only_the_chosen_entries_change_and_the_file_holds_no_more(tmp_path):
    values = toydata.recipe(strategies=[FISH], **HARD)
    before = tensors_of(quick.build(toydata.recipe(strategies=["full"])).model)
    result = hub_core.train(values, toydata.labelled(24), out=tmp_path / "out", prove=False)
    after = tensors_of(result.predictor.model)
    state = load_file(tmp_path / "out/state.safetensors")
    [chosen] = state.values()
    body = [name for name in before if name.startswith("backbone.")]
    moved = {name: after[name] != before[name] for name in body}
    assert not any(bool(moved[name].any()) for name in body if before[name].ndim == 1)
    moved = torch.cat([moved[name].flatten() for name in body if before[name].ndim > 1])
    places = moved.nonzero().flatten()
    assert set(places.tolist()) <= set(chosen.tolist())
    assert len(places) > 0.9 * len(chosen)
    stored = load_file(tmp_path / "out/delta.safetensors")
    assert [tensor.numel() for tensor in stored.values()] == [len(chosen)]
    assert result.manifest.report["fish-mask.entries"] == len(chosen)
    texts = [row["text"] for row in toydata.labelled(6, seed=9)]
    again = hub_core.load(tmp_path / "out")
    assert again.predict(texts) == result.predictor.predict(texts)


def test_what_the_checkpoint_lacked_is_not_among_the_chosen():
    values = toydata.recipe(strategies=[{**FISH, "density": 0.5}])
    data = {"main": {"train": toydata.labelled(16), "validation": toydata.labelled(4)}}
    run = rehearse(values, data, installed())
    lacking = run.model.backbone.get_parameter("body.layer.0.up.parametrizations.weight.original")
    run.model.backbone.fresh = frozenset({lacking})
    run.built.observe()
    [own] = [place for place in run.built.parts[0]._places if place.weight is lacking]
    assert len(own.added.places) == 0


# -- what opens the backbone


def opened(*strategies):
    """Return stage to the names of what of the backbone trains in it."""
    run, _ = observed(*strategies, epochs=4)
    loop = run.loop()
    return {
        loop.plan.moment(at).clock.stage: {
            run.built.names[p] for p in chosen if p in run.model.body_parameters()
        }
        for at, chosen in loop.plan.changes.items()
    }


ACTING = [CHILD, "mixout", "pretrained-decay"]
TOP = {"name": "top-layers", "layers": 1}


@pytest.mark.parametrize("method", ACTING)
def test_alone_it_opens_the_whole_backbone(method):
    [names] = opened(method).values()
    [everything] = opened(method, "full").values()
    assert names == everything
    assert len(names) > 20


@pytest.mark.parametrize("method", ACTING)
@pytest.mark.parametrize("turn", [1, -1])
def test_it_opens_nothing_beside_what_opens_something(method, turn):
    [names] = opened(*[TOP, method][::turn]).values()
    assert names
    assert all(".layer.1." in name for name in names)


def test_it_leaves_the_probe_of_encoder_only_alone():
    found = opened("mixout", "encoder-only")
    assert not found["probe"]
    assert len(found["encoder"]) > 20


def test_decay_reaches_what_trains_after_a_probe():
    run, _ = observed("pretrained-decay", "encoder-only", learning_rate=1e-9, epochs=4)
    part, weight = run.built.parts[0], run.model.layers()[0].up.weight
    loop = run.loop(validated=False)  # or the best model may be the probe's
    part.options = part.options.model_copy(update={"strength": 5e8})
    with torch.no_grad():
        before = weight.clone()
        weight.add_(1)
    loop.run()
    assert float((weight.detach() - before).abs().max()) < 0.5


@pytest.mark.parametrize("method", ["child-tuning", "mixout", "pretrained-decay"])
def test_what_says_when_layers_train_comes_after(method):
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=["gradual-unfreezing", method]))
    assert caught.value.message == (
        f"these do not compose:\n  - strategy {method} needs 'free-stages' (no part has brought "
        "its own training stages), but strategy gradual-unfreezing has taken it away"
    )
    assert caught.value.hint == "take one of them out, or change the order"
    quick.build(toydata.recipe(strategies=[method, "gradual-unfreezing"]))


# -- what cannot be


def refused(part):
    model = quick.build(toydata.recipe(strategies=["full"])).model
    part.reshape(model, Context())
    part.prepare(model, Context())
    heads = model.head_parameters()
    assert part.select(model, heads, Clock(0, 1, 0, 1, "probe")) == heads
    part.optimizer_options(model)
    with pytest.raises(IncompatibleError) as caught:
        part.optimizer([{"params": list(heads), "scale": 1.0}], Context())
    return caught.value.message, caught.value.hint


def test_nothing_of_the_backbone_to_act_on_is_refused():
    assert refused(Mixout(MixoutOptions())) == (
        "mixout: it acts on weights of linear layers, but nothing of the backbone trains",
        "add full or top-layers, or leave mixout out",
    )
    assert refused(ChildTuning(ChildTuningOptions(variant="free"))) == (
        "child-tuning: it acts on the backbone's weights, but nothing of the backbone trains",
        "add full or top-layers, or leave child-tuning out",
    )


def test_a_child_network_without_weights_is_refused():
    built = quick.build(toydata.recipe(strategies=["full"]))
    total = sum(p.numel() for p in layer_weights(built.model))
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[{**CHILD, "p": 1e-7}]))
    assert caught.value.message == (
        f"child-tuning: p = 1e-07 keeps none of the {total} weights of the backbone's layers"
    )
    assert caught.value.hint == "give a larger share, such as 0.3"


def test_a_fish_mask_without_weights_is_refused():
    built = quick.build(toydata.recipe(strategies=["full"]))
    total = sum(p.numel() for p in matrices(built.model))
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[{**FISH, "density": 1e-7}]))
    assert caught.value.message == (
        f"fish-mask: density = 1e-07 keeps none of the {total} entries of the backbone's matrices"
    )
    assert caught.value.hint == f"give at least {1 / total:.1e}"


@pytest.mark.parametrize(
    ("method", "name", "acts_on"),
    [
        ("mixout", "mixout", "weights of linear layers"),
        ("pretrained-decay", "pretrained-decay", "pre-trained matrices"),
        (CHILD, "child-tuning", "pre-trained weights of the layers"),
    ],
)
def test_beside_nothing_but_adapters_it_warns_that_it_changes_nothing(
    method, name, acts_on, caplog
):
    run, _ = observed("lora", method)
    run.loop()
    assert caplog.messages == [
        f"{name} changes nothing: it acts on {acts_on}, and none of these train; add full or "
        "top-layers, or leave it out"
    ]


# -- together


@pytest.mark.parametrize(
    "strategies",
    [
        [CHILD, "full"],
        [FREE, "full"],
        ["full", "mixout"],
        ["pretrained-decay", {"name": "top-layers", "layers": 1}],
        [FISH],
        [FISH, "lora"],
        [FISH, "bitfit"],
        ["lora", FISH],
        ["mixout", "lora"],
        ["mixout", "pretrained-decay", CHILD],
    ],
    ids=str,
)
def test_they_train_a_bert_together_and_load_again(strategies, tmp_path):
    folder = tinymodels.save("bert", tmp_path / "bert")
    values = tinymodels.recipe(folder, strategies=strategies, epochs=1)
    saved(values, tmp_path / "out")
