"""Mixout and decay towards the pre-trained weights are their equations."""

import pytest
import quick
import torch
import toydata
from torch import nn

import hub_core
from hub_core.declare import Clock
from hub_core.model import tensors_of
from hub_core.optimizing import optimizer_of
from hub_core.recipe import parse
from hub_schedules.mixout import Mix

P = 0.3
START = torch.tensor([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])
NOW = torch.tensor([[1.5, -1.0, 0.0], [0.75, 2.0, 1.0]])


def build(*strategies, **settings):
    return quick.build(toydata.recipe(strategies=strategies, **settings))


# -- mixout


def mixed(mix, weight):
    """Return one mixed weight, and its mask M, read off the result."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        found = mix(weight)
    mask = (found - START).abs() > 1e-6
    return found, mask


def test_every_entry_is_the_pretrained_one_or_the_equations():
    weight = nn.Parameter(NOW.clone())
    found, mask = mixed(Mix(START, P), weight)
    mask = mask.float()
    expected = ((1 - mask) * START + mask * NOW - P * START) / (1 - P)
    assert 0 < mask.mean() < 1
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.equal(found[mask == 0], START[mask == 0])


def test_the_gradient_is_masked_and_scaled():
    weight = nn.Parameter(NOW.clone())
    found, mask = mixed(Mix(START, P), weight)
    given = torch.arange(1.0, 7.0).view(2, 3)
    found.backward(given)
    assert torch.allclose(weight.grad, given * mask / (1 - P))


def test_the_mean_is_the_weight():
    mix, weight, count = Mix(START, P), nn.Parameter(NOW.clone()), 4000
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean = torch.stack([mix(weight).detach() for _ in range(count)]).mean(0)
    deviation = (NOW - START).abs() * (P / (1 - P) / count) ** 0.5
    assert ((mean - NOW).abs() < 4.5 * deviation).all()


def test_nothing_is_mixed_where_nothing_trains():
    weight, mix = nn.Parameter(NOW.clone()), Mix(START, P)
    with torch.no_grad():
        assert torch.equal(mix(weight), NOW)
    assert torch.equal(mix.eval()(weight), NOW)
    assert torch.equal(mix.train()(weight.requires_grad_(False)), NOW)


def test_it_mixes_with_the_bits_of_the_checkpoint():
    plain = tensors_of(build("full").model)
    model = build("full", "mixout").model
    for path, linear in model.linears():
        assert torch.equal(linear.parametrizations.weight[0].start, plain[f"{path}.weight"])


def test_only_layers_that_train_are_mixed_and_their_chance_is_torchs():
    built = build("mixout", {"name": "top-layers", "layers": 1}).built
    for parameter in built.model.parameters():
        parameter.requires_grad_(False)
    for layer in built.model.layers()[1:]:
        layer.requires_grad_(True).train()
    low, high = (built.model.innermost(f"backbone.body.layer.{n}.up") for n in (0, 1))
    with torch.no_grad():
        for linear in (low, high):
            linear.parametrizations.weight.original.add_(1)
    low.train()
    assert torch.equal(low.weight, low.weight)
    with torch.random.fork_rng(devices=[]):
        first, second = _drawn(high, 1), _drawn(high, 2)
        assert not torch.equal(first, second)
        assert torch.equal(first, _drawn(high, 1))


def _drawn(linear, seed):
    torch.manual_seed(seed)
    return linear.weight.detach()


def test_mixing_is_gone_from_the_trained_model():
    values = toydata.recipe(strategies=["full", {"name": "mixout", "p": 0.8}], epochs=1)
    model = hub_core.train(values, toydata.labelled(24)).predictor.model
    assert {type(linear) for _, linear in model.linears()} == {nn.Linear}
    assert "backbone.body.layer.0.up.weight" in dict(model.named_parameters())


# -- decay


def with_optimizer(*strategies):
    """Return a model whose optimizer was built; matrices decay by 0.5 otherwise."""
    values = toydata.recipe(strategies=strategies, weight_decay=0.5)
    found = quick.build(values)
    settings = parse(values).training
    optimizer = optimizer_of(found.built, found.ever, settings, torch.device("cpu"))
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    return found.built, groups


def after_step(built, rate, without=None):
    """Return every parameter's start and its value after one call, all having moved by 1."""
    starts = {p: p.detach().clone() for p in built.model.parameters()}
    with torch.no_grad():
        for parameter in starts:
            parameter.add_(1)
            parameter.grad = None if parameter is without else torch.zeros_like(parameter)
    for part in built.parts:
        part.on_step_end(built.model, Clock(0, 4, 0, 1, rate=rate))
    return {p: (start, p.detach()) for p, start in starts.items()}


def test_pretrained_matrices_are_drawn_back_by_rate_times_strength():
    built, _ = with_optimizer("full", {"name": "pretrained-decay", "strength": 0.5})
    body = built.model.body_parameters()
    for parameter, (start, found) in after_step(built, 0.1).items():
        away = 1 - 0.1 * 0.5 if parameter in body and parameter.ndim > 1 else 1.0
        assert torch.allclose(found, start + away, atol=1e-6)


def test_what_took_no_step_is_not_drawn_back():
    built, _ = with_optimizer("full", {"name": "pretrained-decay", "strength": 0.5})
    left = built.model.layers()[0].up.weight
    start, found = after_step(built, 0.1, without=left)[left]
    assert torch.equal(found, start + 1)


def test_their_usual_decay_is_off_and_that_of_the_head_is_not():
    built, groups = with_optimizer("full", "pretrained-decay")
    for parameter, group in groups.items():
        head = parameter in built.model.head_parameters()
        assert group["weight_decay"] == (0.5 if head and parameter.ndim > 1 else 0)


def test_adapters_keep_their_usual_decay_and_are_not_drawn_back():
    built, groups = with_optimizer("lora", "full", {"name": "pretrained-decay", "strength": 0.5})
    names = built.names
    for parameter, (start, found) in after_step(built, 0.1).items():
        if "lora_" in names[parameter]:
            assert torch.equal(found, start + 1)
            assert groups[parameter]["weight_decay"] == 0.5


@pytest.mark.parametrize("turn", [1, -1])
def test_a_slower_layer_is_drawn_back_slower(turn):
    decay = {"name": "pretrained-decay", "strength": 0.5}
    built, groups = with_optimizer(*["toy-gradual", decay][::turn])
    low = built.model.layers()[0].up.weight
    assert groups[low]["scale"] == pytest.approx(1 / 2.6)
    assert groups[low]["weight_decay"] == 0
    start, found = after_step(built, 0.1)[low]
    assert torch.allclose(found, start + 1 - 0.1 * 0.5 / 2.6, atol=1e-6)


def test_a_strong_decay_keeps_the_weights_near_their_start():
    before = tensors_of(build("full").model)
    path = "backbone.body.layer.0.up.weight"

    def distance(strength):
        decay = {"name": "pretrained-decay", "strength": strength}
        values = toydata.recipe(strategies=["full", decay], learning_rate=1e-2, epochs=1)
        values["tasks"]["main"] |= {"validation": 0, "test": 0}
        model = hub_core.train(values, toydata.labelled(24)).predictor.model
        return float((tensors_of(model)[path] - before[path]).detach().norm())

    assert distance(90.0) < 0.5 * distance(1e-3)
