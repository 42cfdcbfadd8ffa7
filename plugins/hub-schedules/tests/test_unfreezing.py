"""Layers thaw from the head down, once and for all, at the rates that ULMFiT gives them."""

import json
from itertools import pairwise

import pytest
import quick
import tinymodels
import torch
import toydata
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel

import hub_core
from hub_core.declare import Clock
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.optimizing import groups_of
from hub_core.timeline import plan_run
from hub_schedules.options import GradualUnfreezingOptions
from hub_schedules.unfreezing import GradualUnfreezing

HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
LACKING = "encoder.layer.0.output.dense.bias"
AFTER = {"modernbert": "backbone.body.final_norm."}


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: tinymodels.save(name, root / name) for name in tinymodels.FAMILIES}


def unfreezing(**options):
    return {"name": "gradual-unfreezing", **options}


def toy(*strategies, **settings):
    return toydata.recipe(strategies=strategies, **settings)


def planned(values, steps=4):
    """Return what was built, and step → names of what trains from then on."""
    built = quick.build(values, steps=steps).built
    plan = plan_run(built, values["training"]["epochs"], steps)
    changes = plan.changes.items()
    return built, {step: {built.names[p] for p in chosen} for step, chosen in changes}


def starting(names, *prefixes):
    return {name for name in names if name.startswith(prefixes)}


def layer(number, names):
    return {name for name in names if f".layer.{number}." in name or f".layers.{number}." in name}


def refused(values):
    with pytest.raises(IncompatibleError) as caught:
        quick.build(values)
    return caught.value


# -- when


def test_the_head_is_first_then_layers_from_the_top_and_the_embeddings_are_last():
    built, found = planned(toy(unfreezing(every=1), epochs=5))
    names = set(built.names.values())
    assert found == {
        0: HEAD,
        4: HEAD | layer(1, names),
        8: HEAD | layer(1, names) | layer(0, names),
        12: names,
    }


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_what_comes_after_the_layers_thaws_with_the_highest(models, family):
    values = tinymodels.recipe(models[family], strategies=[unfreezing(every=1)], epochs=4)
    built, found = planned(values)
    names = set(built.names.values())
    top = HEAD | layer(1, names) | starting(names, AFTER.get(family, "nothing"))
    assert [*found] == [0, 4, 8, 12]
    assert found[4] == top
    assert found[8] == top | layer(0, names)
    assert {name for name in found[12] - found[8] if ".embeddings." not in name} == set()
    assert found[12] == names


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 6, 13, 20]),
        ({"over": 0.9}, [0, 12, 24, 36]),
        ({"every": 1}, [0, 4, 8, 12]),
        ({"every": 0.5}, [0, 2, 4, 6]),
        ({"every": 2.5}, [0, 10, 20, 30]),
        ({"every": 3, "layers_at_once": 2}, [0, 12, 24]),
        ({"layers_at_once": 2}, [0, 10, 20]),
        ({"layers_at_once": 9}, [0, 10, 20]),
    ],
)
def test_groups_thaw_after_so_many_epochs_or_evenly_over_a_share_of_the_run(options, expected):
    _, found = planned(toy(unfreezing(**options), epochs=10))
    assert [*found] == expected


def test_nothing_is_ever_frozen_again():
    _, found = planned(toy(unfreezing(every=0.3), "full", epochs=9), steps=7)
    chosen = [found[step] for step in sorted(found)]
    assert len(chosen) == 4
    assert all(before < after for before, after in pairwise(chosen))


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_by_default_everything_thaws_however_short_training_is(epochs):
    built, found = planned(toy(unfreezing(), epochs=epochs), steps=1)
    assert found[max(found)] == set(built.names.values())


def test_a_schedule_that_is_longer_than_training_is_refused_with_both_numbers():
    error = refused(toy(unfreezing(every=1), epochs=3))
    assert error.message == (
        "gradual-unfreezing: with every = 1 the last of its 3 groups thaws in epoch 4, but "
        "training has 3"
    )
    assert error.hint == (
        "train for 4 epochs or more, raise layers_at_once, lower every, or leave it out: then "
        "everything thaws within a share of the run"
    )


def test_it_is_refused_before_the_first_step():
    steps = []
    with pytest.raises(IncompatibleError, match="thaws in epoch 5, but training has 4"):
        hub_core.train(
            toy(unfreezing(every=1.5), epochs=4),
            toydata.labelled(24),
            report=lambda event, figures: steps.append(event) if event == "step" else None,
        )
    assert steps == []


@pytest.mark.parametrize(("every", "epochs"), [(1, 4), (1.5, 5), (0.3, 1), (2, 7)])
def test_the_epochs_that_it_asks_for_are_enough(every, epochs):
    built, found = planned(toy(unfreezing(every=every), epochs=epochs), steps=10)
    assert found[max(found)] == set(built.names.values())


def test_the_report_says_which_layer_thawed_when(tmp_path):
    values = toy(unfreezing(every=1), epochs=4)
    result = hub_core.train(values, toydata.labelled(64), out=tmp_path / "out", prove=False)
    steps = result.history[0]["step"]
    report = json.loads((tmp_path / "out" / "hub.json").read_text("utf-8"))["report"]
    assert report == {
        "gradual-unfreezing.layer_1_from_step": steps,
        "gradual-unfreezing.layer_0_from_step": 2 * steps,
        "gradual-unfreezing.embeddings_from_step": 3 * steps,
    }


# -- beside others


@pytest.mark.parametrize("turn", [1, -1])
def test_adapters_thaw_with_their_layers_and_nothing_else_does(turn):
    built, found = planned(toy(*["lora", unfreezing(every=1)][::turn], epochs=3))
    lora = {name for name in built.names.values() if ".lora_" in name}
    assert len(lora) == 2 * 12
    assert found == {0: HEAD, 4: HEAD | layer(1, lora), 8: HEAD | lora}


@pytest.mark.parametrize("turn", [1, -1])
def test_only_the_layers_that_another_part_opened_thaw(turn):
    top = {"name": "top-layers", "layers": 1}
    built, found = planned(toy(*[top, unfreezing(every=1)][::turn], epochs=2))
    assert found == {0: HEAD, 4: HEAD | layer(1, built.names.values())}


@pytest.mark.parametrize("turn", [1, -1])
def test_beside_full_it_is_as_it_is_alone(turn):
    alone = planned(toy(unfreezing(every=1), epochs=4))[1]
    assert planned(toy(*["full", unfreezing(every=1)][::turn], epochs=4))[1] == alone


def test_where_no_head_trains_the_highest_layers_train_from_the_start():
    values = toy("full", unfreezing(every=1), backbone="toy-decoder", head="toy-generate", epochs=3)
    built, found = planned(values)
    names = set(built.names.values())
    assert found == {0: layer(1, names), 4: layer(1, names) | layer(0, names), 8: names}


def test_a_fresh_weight_trains_from_the_start(tmp_path):
    folder = tinymodels.save("bert", tmp_path / "bert")
    tensors = load_file(folder / "model.safetensors")
    del tensors[LACKING]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    values = tinymodels.recipe(folder, strategies=[unfreezing(every=1)], epochs=4)
    _, found = planned(values)
    assert found[0] == HEAD | {f"backbone.body.{LACKING}"}
    assert [*found] == [0, 4, 8, 12]


def test_prompts_around_the_layers_thaw_with_the_highest():
    _, found = planned(toy("toy-prefix", "lora", unfreezing(every=1), epochs=3))
    assert "backbone.body.vectors" not in found[0]
    assert "backbone.body.vectors" in found[4]


def test_lora_that_thaws_opens_in_plain_peft_and_leaves_the_base_alone(models, tmp_path):
    values = tinymodels.recipe(
        models["bert"], strategies=["lora", unfreezing(every=0.5)], epochs=3, learning_rate=1e-2
    )
    result = hub_core.train(values, toydata.labelled(40), out=tmp_path / "out", prove=False)
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text("utf-8"))["r"] > 0
    plain = AutoModel.from_pretrained(models["bert"], attn_implementation="eager").eval()
    base = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    ours = result.predictor.model.backbone
    adapted = PeftModel.from_pretrained(plain, tmp_path / "out").eval()
    inputs = ours.collate([found.inputs for found in ours.tokenize(["a very fine day"])])
    with torch.no_grad():
        expected = adapted(**inputs).last_hidden_state
        torch.testing.assert_close(ours.encode(inputs).hidden, expected, rtol=1e-4, atol=1e-4)
    trained = ours.state_dict()
    for name, tensor in base.items():
        found = [trained[n] for n in (f"body.{name}", _inside(name)) if n in trained]
        assert len(found) == 1 or name.startswith("pooler."), name
        assert all(torch.equal(tensor, one) for one in found), name


def _inside(name):
    module, _, last = name.rpartition(".")
    return f"body.{module}.base_layer.{last}"


# -- how fast


def factors(values):
    """Return each parameter's factor on the rate, by name."""
    built_all = quick.build(values)
    built = built_all.built
    settings = built_all.blueprint.recipe.training
    groups = groups_of(built, frozenset(built.names), settings)
    return {built.names[p]: group["scale"] for group in groups for p in group["params"]}


@pytest.mark.parametrize("decay", [1.1, 2.6])
def test_each_layer_learns_slower_than_the_one_above_it_by_the_same_factor(decay):
    found = factors(toy("lora", unfreezing(decay=decay)))
    assert {found[name] for name in HEAD} == {1}
    [high] = {found[name] for name in layer(1, found)}
    [low] = {found[name] for name in layer(0, found)}
    expected = [decay**-1, decay**-2, decay**-3]
    assert [high, low, found["backbone.embed.weight"]] == pytest.approx(expected)
    assert any(".lora_" in name for name in layer(0, found))


def test_what_comes_after_the_layers_has_the_highest_layers_rate(models):
    values = tinymodels.recipe(models["modernbert"], strategies=[unfreezing(decay=2)])
    assert factors(values)["backbone.body.final_norm.weight"] == 0.5


def test_with_a_decay_of_1_all_have_the_same_rate():
    assert set(factors(toy(unfreezing(decay=1))).values()) == {1}


def test_the_slanted_triangle_is_the_papers():
    """Equation 3 with 200 steps, of which 20 rise; factors are shares of the highest rate."""
    part = GradualUnfreezing(GradualUnfreezingOptions(schedule="slanted"))
    cut_frac, ratio, total = 0.1, 32, 200
    cut = int(total * cut_frac)
    for t in range(total):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        expected = (1 + p * (ratio - 1)) / ratio
        assert part.schedule(Clock(t, total, 0, 1)) == pytest.approx(expected)
    assert part.schedule(Clock(0, total, 0, 1)) == 1 / 32
    assert part.schedule(Clock(20, total, 0, 1)) == 1


@pytest.mark.parametrize("steps", [1, 2, 9, 19, 101])
def test_the_slanted_triangle_stays_within_its_bounds_for_any_number_of_steps(steps):
    part = GradualUnfreezing(GradualUnfreezingOptions(schedule="slanted", ratio=8))
    found = [part.schedule(Clock(step, steps, 0, 1)) for step in range(steps)]
    assert all(1 / 8 <= factor <= 1 for factor in found)
    assert max(found) == 1


def test_the_usual_schedule_is_left_to_the_recipe():
    assert GradualUnfreezing(GradualUnfreezingOptions()).schedule(Clock(3, 9, 0, 1)) is None


def test_only_the_slanted_triangle_takes_the_schedule():
    quick.build(toy("toy-gradual", unfreezing()))
    slanted = unfreezing(schedule="slanted")
    assert refused(toy("toy-gradual", slanted)).message == (
        "these do not compose:\n  - strategy gradual-unfreezing needs 'free-schedule' (no part "
        "has brought its own learning-rate schedule), but strategy toy-gradual has taken it away"
    )
    assert refused(toy(slanted, "toy-gradual")).message == (
        "these do not compose:\n  - strategy toy-gradual needs 'free-schedule' (no part has "
        "brought its own learning-rate schedule), but strategy gradual-unfreezing has taken it "
        "away"
    )


# -- what cannot be


def test_it_is_refused_beside_stages():
    assert refused(toy("toy-lp-ft", unfreezing())).message == (
        "these do not compose:\n  - strategy gradual-unfreezing needs 'free-stages' (no part has "
        "brought its own training stages), but strategy toy-lp-ft has taken it away"
    )


def test_it_is_refused_on_a_backbone_without_layers():
    assert refused(toy(unfreezing(), backbone="toy-bilstm")).message == (
        "these do not compose:\n  - strategy gradual-unfreezing needs 'layers' (is a stack of "
        "numbered layers that hand hidden states upwards), but nothing here gives it"
    )


def test_wrong_options_are_told_together():
    with pytest.raises(OptionsError) as caught:
        quick.build(toy(unfreezing(every=-1, over=1, decay=0.5, schedule="cosine")))
    assert caught.value.message == (
        "strategy gradual-unfreezing: these options do not fit:\n"
        "  - every = -1: input should be greater than or equal to 0\n"
        "  - over = 1: input should be less than 1\n"
        "  - decay = 0.5: input should be greater than or equal to 1\n"
        "  - schedule = 'cosine': input should be 'usual' or 'slanted'"
    )
