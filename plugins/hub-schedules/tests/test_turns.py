"""Which blocks train at a time is what LISA and BAdam say, and what rests is forgotten."""

from collections import Counter
from itertools import permutations

import pytest
import quick
import tinymodels
import torch
import toydata

import hub_core
from hub_core.catalog import installed
from hub_core.errors import IncompatibleError
from hub_core.testing.rehearsal import rehearse
from hub_core.timeline import plan_run
from hub_schedules.coordinate import BlockCoordinate
from hub_schedules.lisa import Lisa
from hub_schedules.options import BlockCoordinateOptions, LisaOptions

HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
TURNS = ("lisa", "block-coordinate", "gradual-unfreezing", "encoder-only")
BOTH = pytest.mark.parametrize("name", ["lisa", "block-coordinate"])


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A tiny ModernBERT of five layers: it has a norm after them."""
    folder = tmp_path_factory.mktemp("models") / "deep"
    return tinymodels.save("modernbert", folder, num_hidden_layers=5)


def toy(*strategies, **settings):
    return toydata.recipe(strategies=strategies, **settings)


def built_plan(values, steps):
    built = quick.build(values, steps=steps).built
    return built, plan_run(built, values["training"]["epochs"], steps)


def layers_at(values, steps):
    """Return for every step of a run the numbers of the layers in which something trains."""
    built, plan = built_plan(values, steps)
    held = [set(layer.parameters()) for layer in built.model.layers()]
    found, now = [], ()
    for step in range(plan.steps):
        now = plan.changes.get(step, now)
        found.append([number for number, own in enumerate(held) if own & now])
    return found


def outside_of_layers(values, steps):
    """Return the names of what is in no layer and trains, which must be the same in all steps."""
    built, plan = built_plan(values, steps)
    inside = {p for layer in built.model.layers() for p in layer.parameters()}
    [names] = {frozenset(built.names[p] for p in now - inside) for now in plan.changes.values()}
    return names


def refused(values, steps=4):
    with pytest.raises(IncompatibleError) as caught:
        quick.build(values, steps=steps)
    return caught.value


# -- LISA


def lisa(**options):
    return {"name": "lisa", **options}


@pytest.mark.parametrize(("active", "period"), [(1, 4), (2, 3), (3, 5)])
def test_lisa_trains_so_many_layers_and_changes_them_after_each_period(deep, active, period):
    strategy = lisa(active=active, period=period)
    found = layers_at(tinymodels.recipe(deep, strategies=[strategy], epochs=6), 10)
    for start in range(0, 60, period):
        [now] = {tuple(layers) for layers in found[start : start + period]}
        assert len(now) == active
    assert len({tuple(layers) for layers in found}) > 1


def test_lisa_draws_every_layer_as_often():
    """600 draws of 2 of 6: each layer's count is binomial, mean 200, deviation 11.5."""
    part = Lisa(LisaOptions(active=2))
    part.load_state_dict({"seed": 7})
    draws = [part.drawn(turn, 6, 2) for turn in range(600)]
    assert all(len(set(draw)) == 2 for draw in draws)
    counts = Counter(number for draw in draws for number in draw)
    assert all(abs(counts[number] - 200) < 5 * 11.6 for number in range(6))


def test_with_lisa_head_and_embeddings_and_the_last_norm_always_train(deep):
    values = tinymodels.recipe(deep, strategies=[lisa(period=3)], epochs=6)
    assert outside_of_layers(values, 10) == HEAD | {
        "backbone.body.embeddings.tok_embeddings.weight",
        "backbone.body.embeddings.norm.weight",
        "backbone.body.final_norm.weight",
    }


def test_with_as_many_as_there_are_lisa_is_full():
    built, plan = built_plan(toy(lisa(active=2)), 4)
    assert plan.changes == {0: frozenset(built.model.parameters())}


@pytest.mark.parametrize(("active", "there"), [(3, 2), (9, 2)])
def test_more_active_layers_than_there_are_are_refused(active, there):
    error = refused(toy(lisa(active=active)))
    assert error.message == (
        f"lisa: active = {active}, but only {there} of the backbone's 2 layers may train here"
    )
    assert error.hint == f"give a number from 1 to {there}"


def test_more_active_layers_than_others_have_opened_are_refused():
    error = refused(toy({"name": "top-layers", "layers": 1}, lisa(active=2)))
    assert error.message == (
        "lisa: active = 2, but only 1 of the backbone's 2 layers may train here"
    )


# -- block coordinate descent


def coordinate(**options):
    return {"name": "block-coordinate", **options}


def blocks_of_a_run(deep, steps=15, epochs=3, **options):
    values = tinymodels.recipe(deep, strategies=[coordinate(**options)], epochs=epochs)
    found = layers_at(values, steps)
    assert all(len(layers) == 1 for layers in found)
    return [layers[0] for layers in found]


def test_each_block_has_its_turn_once_in_an_epoch_by_default(deep):
    found = blocks_of_a_run(deep)
    for epoch in (found[:15], found[15:30], found[30:]):
        assert epoch[::3] == epoch[1::3] == epoch[2::3]
        assert sorted(epoch[::3]) == [0, 1, 2, 3, 4]
    assert len({tuple(found[:15]), tuple(found[15:30]), tuple(found[30:])}) > 1


def test_with_fewer_steps_than_blocks_each_step_has_another_block(deep):
    found = blocks_of_a_run(deep, steps=3, epochs=5)
    assert [sorted(found[start : start + 5]) for start in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize(
    ("order", "expected"), [("ascending", [0, 1, 2, 3, 4]), ("descending", [4, 3, 2, 1, 0])]
)
def test_blocks_take_turns_from_the_bottom_or_from_the_top(deep, order, expected):
    found = blocks_of_a_run(deep, order=order, steps=20, epochs=2)
    assert found[::4] == expected * 2


def test_the_number_of_steps_can_be_given(deep):
    values = tinymodels.recipe(deep, epochs=4, strategies=[coordinate(steps=7, order="ascending")])
    found = [layers[0] for layers in layers_at(values, 10)]
    assert found == [0] * 7 + [1] * 7 + [2] * 7 + [3] * 7 + [4] * 7 + [0] * 5


def test_a_pass_is_in_random_order_and_every_order_is_as_likely():
    """720 passes over 3 blocks: each of the 6 orders has mean 120, deviation 10."""
    part = BlockCoordinate(BlockCoordinateOptions())
    part.load_state_dict({"seed": 3})
    passes = Counter(
        tuple(part._place(3 * number + place, 3) for place in range(3)) for number in range(720)
    )
    assert len(passes) == 6
    assert all(abs(count - 120) < 5 * 10 for count in passes.values())


def test_the_embeddings_stay_frozen_or_are_the_lowest_block(deep):
    after = HEAD | {"backbone.body.final_norm.weight"}
    values = tinymodels.recipe(deep, strategies=["full", coordinate()], epochs=2)
    assert outside_of_layers(values, 10) == after
    given = coordinate(embeddings=True, order="ascending", steps=2)
    built, plan = built_plan(tinymodels.recipe(deep, strategies=[given], epochs=2), 6)
    names = [{built.names[p] for p in plan.changes[step]} for step in range(0, 12, 2)]
    assert names[0] == after | {n for n in built.names.values() if ".embeddings." in n}
    assert not any(".embeddings." in name for later in names[1:] for name in later)


def test_with_block_coordinate_the_head_always_trains(deep):
    values = tinymodels.recipe(deep, strategies=[coordinate(embeddings=True)], epochs=2)
    built, plan = built_plan(values, 12)
    assert all({built.names[p] for p in now} >= HEAD for now in plan.changes.values())


def test_a_backbone_of_a_single_layer_is_refused(tmp_path):
    folder = tinymodels.save("bert", tmp_path / "one", num_hidden_layers=1)
    error = refused(tinymodels.recipe(folder, strategies=[coordinate()]))
    assert error.message == (
        "block-coordinate: blocks take turns, but the backbone has a single layer"
    )
    assert error.hint == (
        "make its embeddings a block too (embeddings = true), or use full instead"
    )
    quick.build(tinymodels.recipe(folder, strategies=[coordinate(embeddings=True)]))


def test_turns_that_are_too_long_for_training_are_refused():
    error = refused(toy(coordinate(steps=5)))
    assert error.message == (
        "block-coordinate: with steps = 5 its 2 blocks need 10 steps until each has had its turn, "
        "but training has 8"
    )
    assert error.hint == "leave steps out, lower it, or train for more epochs"


def test_the_report_says_how_many_blocks_had_how_many_steps():
    built, _ = built_plan(toy(coordinate()), 6)
    assert built.parts[0].report(built.model) == {"blocks": 2, "steps": 3}


# -- both


@BOTH
@pytest.mark.parametrize("turn", [1, -1])
def test_only_adapters_take_turns_beside_lora(name, turn):
    values = toy(*["lora", name][::turn], epochs=20)
    assert outside_of_layers(values, 6) == HEAD
    built, plan = built_plan(values, 6)
    assert {built.names[p] for p in plan.ever} - HEAD == {
        name for name in built.names.values() if ".lora_" in name
    }
    assert {tuple(layers) for layers in layers_at(values, 6)} == {(0,), (1,)}


@BOTH
def test_one_seed_gives_the_same_turns_and_another_gives_others(name, deep):
    strategy = {"name": name, "period": 4} if name == "lisa" else name

    def turns(seed):
        values = tinymodels.recipe(deep, strategies=[strategy], epochs=6, seed=seed)
        return layers_at(values, 10)

    assert turns(1) == turns(1)
    assert len({str(turns(seed)) for seed in range(4)}) == 4


@BOTH
def test_what_the_optimizer_knew_of_a_block_is_dropped_when_its_turn_is_over(name):
    strategy = lisa(period=2) if name == "lisa" else coordinate(steps=2)
    values = toy(strategy, epochs=4)
    data = {"main": {"train": toydata.labelled(40), "validation": toydata.labelled(8, 1)}}
    run = rehearse(values, data, installed())
    loop = run.loop()
    layers = [frozenset(layer.parameters()) for layer in run.model.layers()]
    seen = []

    def look(event, figures):
        if event != "step":
            return
        state = loop.optimizer.state
        [known] = [number for number, own in enumerate(layers) if own & set(state)]
        assert layers[known] <= set(state)
        seen.append((known, {int(state[p]["step"]) for p in layers[known]}))
        assert {int(state[p]["step"]) for p in run.model.head_parameters()} == {len(seen)}

    loop.report = look
    loop.run()
    assert {known for known, _ in seen} == {0, 1}
    before, expected = None, 0
    for known, steps in seen:  # counted anew whenever another layer was in between
        expected = expected + 1 if known == before else 1
        assert steps == {expected}
        before = known


@BOTH
def test_what_never_has_its_turn_keeps_its_bits(name):
    """One layer of two trains with LISA's long period; the embeddings are no block by default."""
    strategy = lisa(period=1000) if name == "lisa" else coordinate(steps=3)
    values = toy(strategy, epochs=2, learning_rate=1e-2)
    values["tasks"]["main"] |= {"validation": 0, "test": 0}
    before = quick.build(values, steps=3).model.state_dict()
    after = hub_core.train(values, toydata.labelled(24)).predictor.model.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    touched = {number for number in (0, 1) if any(f".layer.{number}." in key for key in moved)}
    assert len(touched) == (1 if name == "lisa" else 2)
    assert ("backbone.embed.weight" in moved) == (name == "lisa")


@pytest.mark.parametrize(("first", "second"), permutations(TURNS, 2))
def test_two_that_say_what_trains_when_are_refused(first, second):
    assert refused(toy(first, second)).message == (
        f"these do not compose:\n  - strategy {second} needs 'free-stages' (no part has brought "
        f"its own training stages), but strategy {first} has taken it away"
    )
