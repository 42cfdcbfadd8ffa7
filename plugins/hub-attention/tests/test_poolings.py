"""Poolings and the mixture of layers against the papers' equations in a few lines of torch."""

import math

import pytest
import torch
from torch import nn

from hub_attention.mixing import ScalarMix
from hub_attention.poolings import (
    Additive,
    Concat,
    GeneralizedMean,
    MultiHead,
    SelfAttention,
    generalized_mean,
)

WIDTH = 12
LENGTHS = (5, 2, 3)
MAKE = {
    "self-attention": lambda: SelfAttention(WIDTH, 7, 3),
    "additive": lambda: Additive(WIDTH, 7),
    "multi-head": lambda: MultiHead(WIDTH, 2, 4),
    "concat-first": lambda: Concat(WIDTH, "first"),
    "concat-last": lambda: Concat(WIDTH, "last"),
    "gem": lambda: GeneralizedMean(WIDTH, 3),
}
SHOWN = ("self-attention", "additive", "multi-head")


def made(name, seed=0):
    """Return a pooling whose every weight is random: zeros would hide what they multiply."""
    torch.manual_seed(seed)
    pool = MAKE[name]()
    with torch.no_grad():
        for parameter in pool.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return pool.eval()


def drawn(seed=1):
    """Return three rows of different length and their mask; padding is large."""
    hidden = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(5) < torch.tensor(LENGTHS)[:, None]).long()
    return hidden.masked_fill(~mask.bool()[..., None], 1e4), mask


def pooled(pool, hidden, mask):
    return pool(hidden, mask, pool.attention(hidden, mask))


def one_by_one(pool, equation):
    """Compare a pooling with an equation over each row without its padding, (T, D) to (D',)."""
    hidden, mask = drawn()
    with torch.no_grad():
        expected = torch.stack([equation(h[:n]) for h, n in zip(hidden, LENGTHS, strict=True)])
        torch.testing.assert_close(pooled(pool, hidden, mask), expected)


# -- the papers' equations


def test_self_attention_is_lin_s_equations_5_and_6():
    pool = made("self-attention")
    first, second = pool.inner.weight, pool.outer.weight

    def equation(h):
        a = torch.softmax(second @ torch.tanh(first @ h.T), -1)
        return (a @ h).flatten()

    one_by_one(pool, equation)


def test_additive_is_yang_s_equations_5_to_7():
    pool = made("additive")
    weight, bias, context = pool.inner.weight, pool.inner.bias, pool.outer.weight[0]

    def equation(h):
        u = torch.tanh(h @ weight.T + bias)
        a = torch.softmax(u @ context, 0)
        return (a[:, None] * h).sum(0)

    one_by_one(pool, equation)


def test_multi_head_is_torch_s_attention_of_the_queries_and_the_mean():
    pool = made("multi-head")
    torchs = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
    with torch.no_grad():  # our queries are what a projection of queries would give
        torchs.in_proj_weight.copy_(
            torch.cat([torch.eye(WIDTH), pool.key.weight, pool.value.weight])
        )
        torchs.in_proj_bias.copy_(torch.cat([torch.zeros(WIDTH), pool.key.bias, pool.value.bias]))
        torchs.out_proj.load_state_dict(pool.out.state_dict())

    def equation(h):
        found, _ = torchs(pool.queries[None], h[None], h[None])
        return (h.mean(0) + found[0]).flatten()

    one_by_one(pool, equation)


def test_multi_head_begins_with_the_mean_whatever_it_attends_to():
    hidden, mask = drawn()
    means = torch.stack([h[:n].mean(0) for h, n in zip(hidden, LENGTHS, strict=True)])
    torch.testing.assert_close(pooled(MAKE["multi-head"](), hidden, mask), means.repeat(1, 2))


@pytest.mark.parametrize(("name", "end"), [("concat-first", 0), ("concat-last", -1)])
def test_concat_is_one_end_the_maximum_and_the_mean(name, end):
    one_by_one(made(name), lambda h: torch.cat([h[end], h.amax(0), h.mean(0)]))


@pytest.mark.parametrize("name", ["concat-first", "concat-last"])
def test_concat_finds_the_ends_where_padding_comes_first(name):
    hidden, mask = drawn()
    found = pooled(MAKE[name](), hidden.flip(1), mask.flip(1))
    expected = pooled(
        MAKE["concat-last" if name == "concat-first" else "concat-first"](), hidden, mask
    )
    torch.testing.assert_close(found, expected)


# -- the generalized mean


def test_gem_is_radenovic_s_equation_where_nothing_is_negative():
    pool = made("gem")
    hidden, mask = drawn()
    hidden = hidden.abs()
    power = float(pool.power.detach())
    expected = [
        (h[:n] ** power).mean(0) ** (1 / power) for h, n in zip(hidden, LENGTHS, strict=True)
    ]
    torch.testing.assert_close(
        pooled(pool, hidden, mask), torch.stack(expected), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("sign", [1, -1, 0])
def test_gem_is_the_mean_at_1_and_nears_the_maximum_whatever_the_sign(sign):
    hidden, mask = drawn()
    hidden = sign * hidden.abs() if sign else hidden
    mean = torch.stack([h[:n].mean(0) for h, n in zip(hidden, LENGTHS, strict=True)])
    largest = torch.stack([h[:n].amax(0) for h, n in zip(hidden, LENGTHS, strict=True)])
    torch.testing.assert_close(
        generalized_mean(hidden, mask, torch.tensor(1.0)), mean, rtol=1e-4, atol=1e-4
    )
    gaps = [
        (largest - generalized_mean(hidden, mask, torch.tensor(p))).amax().item()
        for p in (1.0, 4.0, 30.0, 3000.0)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 2e-3


@pytest.mark.parametrize("power", [1.001, 3.0, 100.0])
def test_gem_has_finite_gradients_at_zeros_equal_values_and_single_positions(power):
    pool = GeneralizedMean(2, power)
    hidden = torch.tensor(
        [[[0.0, -5.0], [0.0, -5.0]], [[-3.0, 1e4], [9e9, 9e9]]], requires_grad=True
    )
    found = pooled(pool, hidden, torch.tensor([[1, 1], [1, 0]]))
    torch.testing.assert_close(
        found, torch.tensor([[0.0, -5.0], [-3.0, 1e4]]), rtol=1e-4, atol=1e-4
    )
    found.sum().backward()
    assert hidden.grad.isfinite().all()
    assert pool.excess.grad.isfinite()


@pytest.mark.parametrize("power", [1.5, 3, 50])
def test_gem_begins_with_the_power_that_was_asked_for(power):
    assert GeneralizedMean(4, power).power.item() == pytest.approx(power, rel=1e-5)


def test_gem_s_power_stays_above_1_wherever_training_takes_it():
    pool = GeneralizedMean(4, 3)
    with torch.no_grad():
        pool.excess.fill_(-1e3)
    assert pool.power.item() == 1.0


# -- padding and hops


@pytest.mark.parametrize("name", MAKE)
def test_padding_changes_nothing(name):
    pool = made(name)
    hidden, mask = drawn()
    with torch.no_grad():
        padded = pooled(pool, hidden, mask)
        alone = torch.cat(
            [
                pooled(pool, h[None, :n], torch.ones(1, n))
                for h, n in zip(hidden, LENGTHS, strict=True)
            ]
        )
    assert (padded - alone).abs().max() < 1e-6 * padded.abs().max()


@pytest.mark.parametrize("kind", [torch.int64, torch.float32, torch.bool])
@pytest.mark.parametrize("name", MAKE)
def test_masks_of_every_kind_are_understood(name, kind):
    pool = made(name)
    hidden, mask = drawn()
    torch.testing.assert_close(pooled(pool, hidden, mask.to(kind)), pooled(pool, hidden, mask))


@pytest.mark.parametrize("name", SHOWN)
def test_each_hop_is_a_distribution_over_what_is_no_padding(name):
    pool = made(name)
    hidden, mask = drawn()
    found = pool.attention(hidden, mask)
    assert found.shape == (3, {"self-attention": 3, "additive": 1, "multi-head": 8}[name], 5)
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:2]))
    assert (found * (1 - mask[:, None])).abs().max() == 0
    assert (found * mask[:, None] > 0).sum() == found.shape[1] * sum(LENGTHS)


@pytest.mark.parametrize("name", sorted(set(MAKE) - set(SHOWN)))
def test_what_does_not_attend_shows_nothing(name):
    assert MAKE[name]().attention(*drawn()) is None


@pytest.mark.parametrize("name", MAKE)
def test_the_vector_has_the_width_that_is_said(name):
    pool = MAKE[name]()
    assert pooled(pool, *drawn()).shape == (3, pool.width)


# -- the mixture of layers


def layers(count=4):
    return torch.randn(count, 3, 5, WIDTH, generator=torch.Generator().manual_seed(2)).unbind(0)


def test_a_new_mixture_is_the_mean_of_the_layers():
    found = layers()
    torch.testing.assert_close(ScalarMix(4, norm=False)(found), torch.stack(found).mean(0))


def test_a_mixture_is_peters_equation_1():
    mix = ScalarMix(4, norm=False)
    with torch.no_grad():
        mix.logits.copy_(torch.tensor([0.0, math.log(2), math.log(3), math.log(4)]))
        mix.gamma.fill_(5.0)
    expected = 5 * sum((n + 1) / 10 * layer for n, layer in enumerate(layers()))
    torch.testing.assert_close(mix(layers()), expected)


@pytest.mark.parametrize("one", range(4))
def test_a_mixture_with_all_weight_on_a_layer_is_this_layer(one):
    mix = ScalarMix(4, norm=False)
    with torch.no_grad():
        mix.logits[one] = 200.0
    torch.testing.assert_close(mix(layers())[0], layers()[one][0])


def test_layers_of_any_scale_count_alike_with_norm():
    mix = ScalarMix(4, norm=True)
    loud = [layer * 10**n + n for n, layer in enumerate(layers())]
    torch.testing.assert_close(mix(loud), mix(layers()), rtol=1e-3, atol=1e-3)
    plain = ScalarMix(4, norm=False)
    assert not torch.allclose(plain(loud), plain(layers()), rtol=1e-1, atol=1e-1)
