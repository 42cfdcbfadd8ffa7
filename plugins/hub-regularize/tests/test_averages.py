"""Averages equal what is computed by hand from the weights after each step."""

import pytest
import torch
from regularized import built, rehearsed, same, trained, weights_of

from hub_core.errors import IncompatibleError
from hub_core.optimizing import rate_factor


def swa(**options):
    return {"name": "swa", **options}


def mean(snapshots):
    names = snapshots[0]
    return {n: torch.stack([s[n].double() for s in snapshots]).mean(0).float() for n in names}


def close(one, two):
    assert one.keys() == two.keys()
    return all(torch.allclose(one[name], two[name], rtol=1e-5, atol=1e-7) for name in one)


def test_it_is_the_mean_over_the_ends_of_the_epochs_of_the_second_half():
    run = rehearsed("full", swa(), epochs=4)
    after, loop = trained(run)
    steps = loop.plan.epoch_steps
    assert steps > 1
    assert close(weights_of(run.model), mean([after[3 * steps - 1], after[4 * steps - 1]]))


def test_it_is_the_mean_over_every_second_step_from_the_start_and_the_last():
    run = rehearsed("full", swa(every=2, start=0.3), epochs=3)
    after, loop = trained(run)
    total = loop.plan.steps
    taken = [s for s in range(1, total + 1) if (s > 0.3 * total and s % 2 == 0) or s == total]
    assert len(taken) > 2
    assert close(weights_of(run.model), mean([after[s - 1] for s in taken]))


def test_the_exponential_mean_is_corrected_for_where_it_began():
    run = rehearsed("full", swa(kind="ema", decay=0.8), epochs=2)
    after, _ = trained(run)
    found = {name: torch.zeros_like(value).double() for name, value in after[0].items()}
    for weights in after:
        found = {n: 0.8 * m + 0.2 * weights[n].double() for n, m in found.items()}
    expected = {n: (m / (1 - 0.8 ** len(after))).float() for n, m in found.items()}
    assert close(weights_of(run.model), expected)


def test_what_never_trains_keeps_its_bits():
    run = rehearsed(swa(kind="ema"), "head-only")
    before = weights_of(run.model)
    trained(run)
    after = weights_of(run.model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"heads.main.output.weight", "heads.main.output.bias"}


def test_what_begins_to_train_later_counts_with_what_it_was_before():
    run = rehearsed("toy-gradual", swa(every=1, start=0), epochs=4)
    after, _ = trained(run)
    assert close(weights_of(run.model), mean(after))


def test_every_stage_has_a_mean_of_its_own():
    run = rehearsed("encoder-only", swa(every=1, start=0), epochs=4)
    after, loop = trained(run)
    probe = loop.plan.epochs[0] * loop.plan.epoch_steps
    assert 0 < probe < loop.plan.steps
    assert close(weights_of(run.model), mean(after[probe:]))


def test_training_goes_on_from_the_weights_that_train():
    """The run is the plain one to the bit, although the mean is measured in between."""
    plain, averaged = rehearsed("full", epochs=4), rehearsed("full", swa(every=1), epochs=4)
    one, _ = trained(plain, validated=True)
    two, _ = trained(averaged, validated=True)
    assert all(same(a, b) for a, b in zip(one, two, strict=True))


def test_the_best_snapshot_is_a_mean():
    run = rehearsed("full", swa(), epochs=6)
    after, loop = trained(run, validated=True)
    steps, best = loop.plan.epoch_steps, loop.progress.best.epoch
    assert best >= 3  # before that there is no mean, and nothing to serve
    ends = [after[(epoch + 1) * steps - 1] for epoch in range(3, best + 1)]
    assert close(weights_of(run.model), mean(ends))


def test_the_mean_is_not_in_the_state_that_is_saved():
    run = rehearsed("full", swa(every=1))
    _, loop = trained(run)
    run.finish(loop)
    assert run.built.parts[1].state_dict() == {"count": 0, "mean": {}}


def test_with_one_short_epoch_the_last_weights_are_served():
    run = rehearsed("full", swa(every=1000), epochs=1)
    after, _ = trained(run)
    assert same(weights_of(run.model), after[-1])


# -- the rate


def test_the_rate_can_stay_where_it_is_at_the_first_snapshot():
    run = rehearsed("full", swa(start=0.5, schedule="constant-after-start"), epochs=4)
    plan = run.loop().plan
    clocks = [plan.moment(total).clock for total in range(plan.steps)]
    rates = [rate_factor(run.built.parts, clock, run.settings) for clock in clocks]
    usual = [rate_factor([], clock, run.settings) for clock in clocks]
    half = plan.steps // 2
    assert rates[: half + 1] == usual[: half + 1]
    assert rates[half:] == pytest.approx([usual[half]] * (plan.steps - half))
    assert usual[-1] < usual[half] < 1


def test_a_constant_rate_is_refused_beside_another_schedule():
    with pytest.raises(IncompatibleError) as caught:
        built("toy-gradual", swa(schedule="constant-after-start"))
    assert caught.value.message == (
        "these do not compose:\n  - strategy swa needs 'free-schedule' (no part has brought its "
        "own learning-rate schedule), but strategy toy-gradual has taken it away"
    )
