"""GaLore's steps are the paper's, what is not projected has AdamW's, and its state is small."""

import copy

import pytest
import quick
import tinymodels
import torch
import toydata
from torch import nn

import hub_core
from hub_core.catalog import installed
from hub_core.errors import IncompatibleError
from hub_core.testing.rehearsal import rehearse
from hub_schedules.galore import GaloreAdamW, leading, project, unproject

SHAPES = [(12, 5), (5, 12), (7, 7)]
VECTOR, SMALL = (9,), (3, 20)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def optimizer(parameters, **others):
    groups = [{"params": parameters, "lr": 0.1, "weight_decay": 0.0}]
    return GaloreAdamW(groups, **{"rank": 3, "every": 4, "factor": 0.25, **others})


def run(made, parameters, steps, first=0):
    for step in range(first, first + steps):
        for number, parameter in enumerate(parameters):
            parameter.grad = noise(*parameter.shape, seed=100 * number + step)
        made.step()


def parameters(*shapes):
    return [nn.Parameter(noise(*shape, seed=50 + n)) for n, shape in enumerate(shapes)]


# -- the projection


@pytest.mark.parametrize("shape", SHAPES)
def test_the_basis_is_the_leading_singular_vectors_of_the_short_side(shape):
    gradient = noise(*shape)
    basis = leading(gradient, 3)
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    expected = right[:3].T if shape[0] >= shape[1] else left[:, :3]
    assert basis.shape == (min(shape), 3)
    torch.testing.assert_close((basis.T @ expected).abs(), torch.eye(3), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_gradient_of_that_rank_is_given_back(shape):
    gradient = noise(shape[0], 3) @ noise(3, shape[1], seed=1)
    basis = leading(gradient, 3)
    low = project(gradient, basis)
    assert sorted(low.shape) == sorted((3, max(shape)))
    back = unproject(low, basis, gradient.shape)
    torch.testing.assert_close(back, gradient, rtol=1e-4, atol=1e-4)


def test_no_other_basis_of_that_rank_leaves_less_of_a_gradient_out():
    """Eckart and Young: what is left out are the smaller singular values."""
    gradient = noise(6, 11)
    basis = leading(gradient, 2)
    left_out = gradient - unproject(project(gradient, basis), basis, gradient.shape)
    smaller = torch.linalg.svdvals(gradient)[2:]
    torch.testing.assert_close(left_out.norm(), smaller.norm(), rtol=1e-4, atol=1e-4)


def test_a_gradient_of_zeros_changes_nothing():
    [weight] = parameters((6, 8))
    before, weight.grad = weight.detach().clone(), torch.zeros(6, 8)
    optimizer([weight]).step()
    assert torch.equal(weight.detach(), before)


# -- the steps


def test_the_first_step_is_what_one_computes_by_hand():
    """Of G = diag(3, 1) beside zeros, rank 1 keeps the 3; Adam's first step is its sign."""
    weight = nn.Parameter(torch.ones(2, 3))
    weight.grad = torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    optimizer([weight], rank=1, factor=0.5).step()
    expected = torch.tensor([[1 - 0.1 * 0.5, 1.0, 1.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(weight.detach(), expected)


def by_the_paper(weight, gradients, *, rank, every, factor, rate, decay):
    """Algorithm 2 with decoupled weight decay, for W (m, n), in double precision.

    The signs of singular vectors are anyone's choice, so the basis is the one that is tested above.
    """
    tall = weight.shape[0] > weight.shape[1]
    w = (weight.T if tall else weight).double().clone()
    m = v = torch.zeros(rank, w.shape[1], dtype=torch.float64)
    for t, gradient in enumerate(gradients):
        g = (gradient.T if tall else gradient).double()
        if t % every == 0:
            p = leading(gradient, rank).double()
        r = p.T @ g
        m, v = 0.9 * m + 0.1 * r, 0.999 * v + 0.001 * r**2
        n = (m / (1 - 0.9 ** (t + 1))) / ((v / (1 - 0.999 ** (t + 1))).sqrt() + 1e-8)
        w = w - rate * decay * w - rate * factor * p @ n
    return (w.T if tall else w).float()


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
@pytest.mark.parametrize("every", [1, 4, 100])
def test_many_steps_are_the_papers(shape, every):
    [weight] = parameters(shape)
    gradients = [noise(*shape, seed=step) for step in range(9)]
    given = {"rank": 3, "every": every, "factor": 0.25}
    expected = by_the_paper(weight.detach(), gradients, **given, rate=0.1, decay=0.02)
    made = optimizer([weight], **given)
    made.param_groups[0]["weight_decay"] = 0.02
    run(made, [weight], len(gradients))
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-5)


def test_the_basis_is_renewed_after_so_many_steps_and_the_moments_stay():
    [weight] = parameters((5, 12))
    made, bases, means = optimizer([weight], every=3), [], []
    for step in range(7):
        run(made, [weight], 1, first=step)
        bases.append(made.state[weight]["basis"].clone())
        means.append(made.state[weight]["mean"].clone())
        if step:
            low = project(weight.grad, bases[-1])
            torch.testing.assert_close(means[-1], 0.9 * means[-2] + 0.1 * low)
    renewed = [step for step in range(1, 7) if not torch.equal(bases[step], bases[step - 1])]
    assert renewed == [3, 6]
    assert torch.equal(bases[6], leading(weight.grad, 3))


def test_vectors_and_matrices_up_to_the_rank_have_adamw_steps():
    ours, theirs = parameters(VECTOR, SMALL, (2, 4, 5)), parameters(VECTOR, SMALL, (2, 4, 5))
    made = optimizer(ours)
    made.param_groups[0]["weight_decay"] = 0.05
    run(made, ours, 8)
    run(torch.optim.AdamW(theirs, lr=0.1, weight_decay=0.05), theirs, 8)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.detach(), other.detach())


def test_every_group_has_its_own_rate_and_decay():
    first, second = parameters((6, 8), (6, 8))
    second.data.copy_(first.data)
    groups = [
        {"params": [first], "lr": 0.0, "weight_decay": 0.5},
        {"params": [second], "lr": 0.1, "weight_decay": 0.5},
    ]
    before = first.detach().clone()
    for parameter in (first, second):
        parameter.grad = torch.zeros(6, 8)
    GaloreAdamW(groups, rank=2, every=1, factor=1.0).step()
    assert torch.equal(first.detach(), before)
    torch.testing.assert_close(second.detach(), before * (1 - 0.1 * 0.5))


def test_what_has_no_gradient_keeps_its_bits_and_has_no_state():
    trained, frozen = parameters((6, 8), (6, 8))
    before = frozen.detach().clone()
    made = optimizer([trained, frozen])
    made.param_groups[0]["weight_decay"] = 0.5
    run(made, [trained], 3)
    assert torch.equal(frozen.detach(), before)
    assert set(made.state) == {trained}


def test_its_state_survives_a_dict_to_the_bit():
    """The break is between two renewals, so the basis has to be in the state."""
    straight = parameters((12, 5), (5, 12), VECTOR)
    broken = copy.deepcopy(straight)
    run(optimizer(straight), straight, 11)
    first = optimizer(broken)
    run(first, broken, 6)
    second = optimizer(broken)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(second, broken, 5, first=6)
    assert all(torch.equal(a, b) for a, b in zip(straight, broken, strict=True))


def test_a_closure_is_evaluated_with_gradients():
    [weight] = parameters((6, 8))

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer([weight]).step(closure) == pytest.approx(
        float(noise(6, 8, seed=50).norm()) ** 2
    )


# -- in a run


def trained(values):
    """Return a run of all steps, and its optimizer."""
    data = {"main": {"train": toydata.labelled(40), "validation": toydata.labelled(8, 1)}}
    found = rehearse(values, data, installed())
    loop = found.loop()
    loop.run()
    return found, loop


def test_its_state_has_the_bytes_of_the_formula_which_are_fewer():
    """Projected: a basis (s, r) and two moments (r, l); otherwise two moments of full size."""
    rank = 4
    values = toydata.recipe(strategies=["full", {"name": "galore", "rank": rank}])
    found, _ = trained(values)

    def size(parameter):
        if parameter.ndim == 2 and min(parameter.shape) > rank:
            return rank * min(parameter.shape) + 2 * rank * max(parameter.shape)
        return 2 * parameter.numel()

    report = found.built.parts[1].report(found.model)
    assert report == {
        "optimizer_bytes": 4 * sum(map(size, found.model.parameters())),
        "adamw_bytes": 8 * sum(p.numel() for p in found.model.parameters()),
    }
    assert report["optimizer_bytes"] < report["adamw_bytes"] / 2


def test_alone_it_trains_the_head_and_nothing_else():
    values = toydata.recipe(strategies=["galore"])
    before = quick.build(values).model.state_dict()
    after = hub_core.train(values, toydata.labelled(24)).predictor.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"heads.main.output.weight", "heads.main.output.bias"}


@pytest.mark.parametrize(
    "other",
    ["full", "lora", {"name": "lisa", "period": 2}, "block-coordinate", "gradual-unfreezing"],
    ids=str,
)
def test_resumed_in_the_middle_it_goes_on_to_the_same_bits(other, tmp_path):
    strategies = [other, {"name": "galore", "rank": 2, "every": 3}]
    values = toydata.recipe(strategies=strategies, epochs=3, checkpoint_steps=2)

    class BrokenOffError(Exception):
        pass

    def stop(event, figures):
        if event == "step" and figures["step"] == 7:
            raise BrokenOffError

    data = toydata.labelled(40)
    straight = hub_core.train(values, data, out=tmp_path / "straight", prove=False).predictor.model
    with pytest.raises(BrokenOffError):
        hub_core.train(values, data, out=tmp_path / "broken", prove=False, report=stop)
    resumed = hub_core.train(
        values, data, out=tmp_path / "broken", prove=False, resume=True
    ).predictor.model
    pairs = zip(straight.state_dict().items(), resumed.state_dict().values(), strict=True)
    assert [name for (name, one), other in pairs if not torch.equal(one, other)] == []


def test_a_tiny_bert_learns_with_it_and_its_frozen_embeddings_keep_their_bits(tmp_path):
    folder = tinymodels.save("bert", tmp_path / "bert")
    top = {"name": "top-layers", "layers": 1}
    strategies = [top, {"name": "galore", "rank": 4, "every": 5}]
    values = tinymodels.recipe(folder, strategies=strategies, epochs=8, learning_rate=2e-2)
    before = quick.build(values).model.state_dict()
    result = hub_core.train(values, toydata.labelled(40))
    assert result.history[-1]["loss"] < 0.8 * result.history[0]["loss"]
    after = result.predictor.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not [n for n in moved if ".embeddings." in n or ".layer.0." in n]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_second_optimizer_is_refused(turn):
    strategies = ["full", *["galore", "toy-low-rank-optimizer"][::turn]]
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=strategies))
    first, second = strategies[1:]
    assert caught.value.message == (
        f"these do not compose:\n  - strategy {second} needs 'free-optimizer' (no part has brought "
        f"its own optimizer), but strategy {first} has taken it away"
    )
