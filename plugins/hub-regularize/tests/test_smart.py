"""SMART: true divergences, a bounded change that is found by ascent, and the averaged model."""

import pytest
import torch
import toydata
from regularized import CLOCK, batch_of, built, losses_of, rehearsed, same, trained, weights_of
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional as F

from hub_core.errors import IncompatibleError
from hub_core.model import Output
from hub_core.part import Losses
from hub_regularize.divergence import divergence
from hub_regularize.smart import moved

LABELS = {"multi-label": ("mood", "place", "time"), "regression": ()}


def scores(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(2, 5, count, generator=generator)).unbind()


def smart(**options):
    return {"name": "smart", **options}


def test_of_one_label_it_is_torchs_kl_in_both_directions():
    model, _ = built("full")
    one, two = scores(2)
    p, q = one.log_softmax(1), two.log_softmax(1)
    expected = F.kl_div(p, q, log_target=True, reduction="none") + F.kl_div(
        q, p, log_target=True, reduction="none"
    )
    assert torch.allclose(divergence(model.head("main"), one, two), expected.sum(1), atol=1e-5)


def test_of_several_labels_it_is_the_mean_kl_of_yes_and_no():
    model, _ = built("full", head="multi-label", labels=LABELS["multi-label"])
    one, two = scores(3)
    p, q = Bernoulli(logits=one), Bernoulli(logits=two)
    expected = (kl_divergence(p, q) + kl_divergence(q, p)).mean(1)
    assert torch.allclose(divergence(model.head("main"), one, two), expected, atol=1e-5)


def test_of_a_number_it_is_the_squared_difference():
    model, _ = built("full", head="regression", labels=LABELS["regression"])
    one, two = scores(1)
    assert torch.allclose(divergence(model.head("main"), one, two), (one - two)[:, 0] ** 2)


def test_of_sure_predictions_it_is_finite_and_so_is_its_gradient():
    model, _ = built("full")
    one = torch.tensor([[500.0, -500.0], [0.0, 0.0]], requires_grad=True)
    value = divergence(model.head("main"), one, torch.tensor([[500.0, -500.0], [200.0, -200.0]]))
    value.sum().backward()
    assert value[0] == 0
    assert value.isfinite().all()
    assert one.grad.isfinite().all()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("radius", [1e-6, 5e-4, 1e-2])
def test_no_number_of_the_change_is_beyond_the_radius(steps, radius):
    model, [_, part] = built("full", smart(radius=radius, steps=steps, noise=1e-4))
    batch = batch_of(model, toydata.labelled(8))
    change = part.ascend(model, batch, model(batch).scores.detach())
    assert change.abs().max() <= radius
    assert change.abs().max() > 0


def test_one_step_is_as_long_as_the_step_size_in_every_token():
    model, [_, part] = built("full", smart(step_size=2e-3, radius=1, noise=1e-6))
    batch = batch_of(model, toydata.labelled(8))
    change = part.ascend(model, batch, model(batch).scores.detach())
    longest = change.abs().amax(-1)[batch.inputs["mask"].bool()]
    assert torch.allclose(longest, torch.full_like(longest, 2e-3), atol=1e-5)


def test_ascent_finds_a_larger_divergence_than_chance():
    model, [_, part] = built("full", smart(step_size=1e-2, radius=1e-2))
    batch, head = batch_of(model, toydata.labelled(16)), model.head("main")
    model.eval()
    before = model(batch).scores.detach()
    found = part.ascend(model, batch, before)
    chance = 1e-2 * torch.randn(found.shape).sign()
    values = []
    for change in (found, chance):
        with moved(model, change):
            values.append(float(divergence(head, model(batch).scores, before).mean()))
    assert values[0] > 2 * values[1] > 0


def test_the_term_is_the_divergence_between_moved_and_plain_scores():
    model, [_, part] = built("full", smart(weight=3))
    model.eval()
    batch = batch_of(model, toydata.labelled(8))
    torch.manual_seed(0)
    losses = losses_of(model, batch, part)
    torch.manual_seed(0)
    change = part.ascend(model, batch, model(batch).scores.detach())
    with moved(model, change):
        other = model(batch).scores
    expected = divergence(model.head("main"), other, model(batch).scores).mean()
    assert torch.equal(losses.terms["smart"], expected)
    assert losses.weights == {"task": 1.0, "smart": 3.0}


def test_nothing_of_it_is_left_on_the_model():
    model, [_, part] = built("full", smart())
    batch = batch_of(model, toydata.labelled(8))
    losses_of(model, batch, part)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_with_weights_of_zero_the_run_is_the_plain_one_to_the_bit():
    plain, without = rehearsed("full"), rehearsed("full", smart(weight=0))
    trained(plain)
    trained(without)
    assert same(weights_of(plain.model), weights_of(without.model))


def test_it_moves_the_word_vectors_although_the_whole_encoder_is_frozen():
    seen = []
    run = rehearsed("head-only", smart(radius=1e-2, step_size=1e-2))
    on_loss = run.built.parts[1].on_loss

    def watch(model, batch, output, losses, clock):
        on_loss(model, batch, output, losses, clock)
        seen.append(float(losses.terms["smart"].detach()))

    run.built.parts[1].on_loss = watch
    _, loop = trained(run)
    assert loop.prefix.depth == 0
    assert len(seen) == loop.plan.steps
    assert min(seen) > 0


def test_the_averaged_model_is_an_exponential_mean_from_before_the_first_step():
    run = rehearsed("full", smart(weight=0, proximal=1, decay=0.7))
    expected = weights_of(run.model)
    after, _ = trained(run)
    for weights in after:
        expected = {name: 0.7 * mean + 0.3 * weights[name] for name, mean in expected.items()}
    found = run.built.parts[1].state_dict()["mean"]
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_the_proximal_term_compares_with_the_averaged_models_scores():
    model, [_, part] = built("full", smart(weight=0, proximal=2))
    model.eval()
    batch = batch_of(model, toydata.labelled(8))
    before = model(batch).scores.detach()
    assert losses_of(model, batch, part).terms["smart proximal"] == 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    losses, now = losses_of(model, batch, part), model(batch).scores
    expected = divergence(model.head("main"), now, before).mean()
    assert torch.allclose(losses.terms["smart proximal"], expected)
    assert expected > 0
    assert losses.weights["smart proximal"] == 2


def test_the_averaged_model_is_not_in_what_is_saved():
    run = rehearsed("full", smart(proximal=1))
    _, loop = trained(run)
    run.finish(loop)
    assert run.built.parts[1].state_dict() == {"mean": {}}


@pytest.mark.parametrize("head", ["multi-label", "regression"])
def test_it_works_for_heads_without_a_single_label(head):
    model, [_, part] = built("full", smart(radius=1e-2, step_size=1e-2), head=head,
                             labels=LABELS[head])  # fmt: skip
    batch = batch_of(model, toydata.DATA[head](8))
    assert losses_of(model, batch, part).terms["smart"] > 0


def test_a_head_without_scores_is_refused():
    with pytest.raises(IncompatibleError) as caught:
        built(smart(), head="toy-tags")
    assert caught.value.message == (
        "these do not compose:\n  - strategy smart needs 'scores' (the head gives one vector of "
        "scores per example), but nothing here gives it"
    )


def test_the_output_is_left_as_it_was():
    model, [_, part] = built("full", smart())
    batch, losses = batch_of(model, toydata.labelled(8)), Losses()
    output = model(batch)
    before = output.scores.detach().clone()
    losses.add("task", output.scores.mean())
    part.on_loss(model, batch, Output(output.encoded, output.scores), losses, CLOCK)
    assert torch.equal(output.scores, before)
