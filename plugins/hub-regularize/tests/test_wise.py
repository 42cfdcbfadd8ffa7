"""WiSE-FT: between the pre-trained and the tuned weights, to the bit at both ends."""

import logging

import pytest
import torch
from regularized import CLOCK, built, rehearsed, same, trained, weights_of

from hub_core.errors import IncompatibleError

HEAD = {"heads.main.output.weight", "heads.main.output.bias"}


def wise(alpha):
    return {"name": "wise-ft", "alpha": alpha}


def served(*strategies, **settings):
    """Return the weights before training, those after the last step, and those that are served."""
    run = rehearsed(*strategies, **settings)
    before = weights_of(run.model)
    after, _ = trained(run)
    return before, after[-1], weights_of(run.model)


def differing(one, two):
    return {name for name in one if not torch.equal(one[name], two[name])}


def test_nothing_of_the_tuned_weights_is_the_pre_trained_encoder_with_the_tuned_head():
    before, tuned, found = served("full", wise(0))
    assert len(differing(before, tuned)) > len(HEAD)
    assert differing(before, found) == HEAD
    assert all(torch.equal(found[name], tuned[name]) for name in HEAD)


def test_all_of_the_tuned_weights_is_the_plain_run():
    _, tuned, found = served("full", wise(1))
    _, _, plain = served("full")
    assert same(found, tuned)
    assert same(found, plain)


def test_in_between_is_the_weighted_mean():
    before, tuned, found = served("full", wise(0.25))
    for name in found.keys() - HEAD:
        expected = 0.75 * before[name] + 0.25 * tuned[name]
        assert torch.allclose(found[name], expected, atol=1e-6)


def test_what_begins_to_train_later_is_interpolated_too():
    before, _, found = served("toy-gradual", wise(0), epochs=4)
    assert differing(before, found) == HEAD


def test_what_was_created_stays_as_it_is_tuned():
    _, tuned, found = served("lora", wise(0))
    assert same(found, tuned)


def test_what_starts_anew_stays_as_it_is_tuned():
    reinit = {"name": "reinit", "layers": 1}
    before, tuned, found = served("full", reinit, wise(0))
    layer = {name for name in found if name.startswith("backbone.body.layer.1.")}
    anew = {name for name in layer if found[name].ndim > 1}  # norms begin with 1 and 0 as before
    assert anew
    assert all(torch.equal(found[name], tuned[name]) for name in anew | HEAD)
    assert all(torch.equal(found[name], before[name]) for name in found.keys() - layer - HEAD)


def test_alone_it_opens_all_of_the_encoder():
    run = rehearsed(wise(0.5))
    assert run.loop().plan.ever == frozenset(run.model.parameters())


@pytest.mark.parametrize("turn", [1, -1])
def test_it_opens_nothing_beside_what_opens_some(turn):
    top = {"name": "top-layers", "layers": 1}
    one, two = rehearsed(top), rehearsed(*[top, wise(0.5)][::turn])
    names = [{run.built.names[p] for p in run.loop().plan.ever} for run in (one, two)]
    assert names[0] == names[1]


def test_where_only_adapters_train_it_says_that_it_does_nothing(caplog):
    run = rehearsed("lora", wise(0.5))
    with caplog.at_level(logging.WARNING, "hub_core"):
        run.loop()
    [record] = caplog.records
    assert record.message == (
        "wise-ft changes nothing: it interpolates pre-trained weights, and none of these train; "
        "add full or top-layers, or leave it out"
    )


def test_where_nothing_of_the_encoder_trains_it_is_refused():
    run = rehearsed(wise(0.5))
    part = run.built.parts[0]
    part.optimizer_options(run.model)
    with pytest.raises(IncompatibleError) as caught:
        part.optimizer([{"params": list(run.model.heads.parameters())}], run.built.contexts[0])
    assert caught.value.message == (
        "wise-ft: it interpolates pre-trained weights, but nothing of the backbone trains"
    )
    assert caught.value.hint == "add full or top-layers, or leave wise-ft out"


def test_it_reports_how_many_tensors_lie_between():
    run = rehearsed({"name": "top-layers", "layers": 1}, wise(0.5))
    _, loop = trained(run)
    run.finish(loop)
    layer = sum(name.startswith("backbone.body.layer.1.") for name in weights_of(run.model))
    assert run.built.parts[1].report(run.model) == {"interpolated": layer}
    assert run.built.parts[1].state_dict()["pretrained"] == {}


def test_it_is_refused_where_the_encoder_is_closed():
    with pytest.raises(IncompatibleError) as caught:
        built("head-only", wise(0.5))
    assert caught.value.message == (
        "these do not compose:\n  - strategy wise-ft needs 'open-body' (parts of the backbone may "
        "be trained), but strategy head-only has taken it away"
    )


# -- with an average


def test_after_swa_it_lies_between_the_pre_trained_weights_and_the_mean():
    averaging = {"name": "swa", "every": 1, "start": 0}
    before, _, found = served("full", averaging, wise(0.5))
    _, _, mean = served("full", averaging)
    for name in found.keys() - HEAD:
        assert torch.allclose(found[name], 0.5 * before[name] + 0.5 * mean[name], atol=1e-6)


@pytest.mark.parametrize("turn", [1, -1])
def test_both_give_back_the_weights_that_train_to_the_bit(turn):
    run = rehearsed("full", *[{"name": "swa", "every": 1, "start": 0}, wise(0.5)][::turn])
    after, _ = trained(run, validated=True)
    [_, *parts] = run.built.parts
    with torch.no_grad():
        for name, value in after[-1].items():
            run.model.get_parameter(name).copy_(value)
    for part in parts:
        part.before_evaluation(run.model, CLOCK)
    assert not same(weights_of(run.model), after[-1])
    for part in reversed(parts):
        part.after_evaluation(run.model, CLOCK)
    assert same(weights_of(run.model), after[-1])
