"""What trains, when, at which rate, on which rows; and which of its states a run leaves behind."""

import collections
import functools
import json
import random

import pytest
import quick
import torch
import toydata
from hub_toys.backbones import ToyEncoder
from torch import nn

import hub_core
from hub_classification.heads import Classification
from hub_core.catalog import Catalog, Plugin, installed
from hub_core.declare import Stage
from hub_core.errors import DataError, TrainingError
from hub_core.model import Wrapper, tensors_of
from hub_core.part import ParameterOptions, Part, created
from hub_core.spec import hookimpl
from hub_core.timeline import stage_epochs

BODY = "backbone.body"
LOWEST = f"{BODY}.layer.0"

# -- this module is a plugin too: a strategy, a head and a backbone that do what a test says

TOLD = {}
"""Name of a part's method to what a test wants it to do, called with the part and its arguments."""
SCRIPT = []
"""What the scripted head says its metric is, one evaluation after the other."""


def _told(name):
    def method(self, *args):
        if name in TOLD:
            return TOLD[name](self, *args)
        return getattr(super(Spy, self), name)(*args)

    return method


class Spy(Part):
    """A part whose methods are functions of the test that runs."""

    value = None
    forgets = property(lambda part: "forgets" in TOLD)
    observe, step_tasks, on_backward = _told("observe"), _told("step_tasks"), _told("on_backward")
    prepare = _told("prepare")
    before_evaluation, optimizer = _told("before_evaluation"), _told("optimizer")
    after_evaluation = _told("after_evaluation")
    stages, examples, select = _told("stages"), _told("examples"), _told("select")
    learning_rate, schedule = _told("learning_rate"), _told("schedule")
    optimizer_options, next_task = _told("optimizer_options"), _told("next_task")
    on_loss, on_gradients = _told("on_loss"), _told("on_gradients")
    on_step_end, on_evaluation = _told("on_step_end"), _told("on_evaluation")
    servable, finalize = _told("servable"), _told("finalize")

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


class LaterSpy(Spy):
    """Narrows what others have widened."""

    narrows = True


class Hinting(Part):
    learning_rate_hint = 0.125


class Scripted(Classification):
    metric = "scripted"

    def metrics(self, predictions, examples):
        value = SCRIPT.pop(0) if SCRIPT else 0.0
        return {"scripted": value, "turned": -value}


class Beside(Wrapper):
    """Adds a vector that it makes noisy; its noise has no parameters of its own."""

    def __init__(self, base_layer, width):
        super().__init__(base_layer)
        self.vector = nn.Parameter(torch.zeros(width))
        self.noise = nn.Dropout(0.5)

    def forward(self, *inputs):
        return self.base_layer(*inputs) + self.noise(self.vector)


class Chain(nn.Module):
    """A block that is added to a layer as a whole."""

    def __init__(self, width):
        super().__init__()
        self.down, self.noise, self.up = nn.Linear(width, 2), nn.Dropout(0.5), nn.Linear(2, width)

    def forward(self, hidden):
        return self.up(self.noise(self.down(hidden)))


class Adding(Part):
    """Adds wrappers at the paths that a test names, and a block inside of the lowest layer."""

    paths = ()

    def prepare(self, model, ctx):
        before = set(model.parameters())
        width = model.backbone.layout.hidden
        for path in self.paths:
            model.wrap(path, lambda inner: Beside(inner, width))
        layer = model.innermost(LOWEST)
        chain = layer.chain = Chain(width)
        layer.register_forward_hook(lambda _, __, hidden: hidden + chain(hidden))
        self.added = created(before, model)

    def select(self, model, chosen, clock):
        return chosen | self.added if clock.stage != "probe" else chosen


class Noisy(ToyEncoder):
    """Has dropout in its layers, between them and in front of them."""

    def __init__(self, width):
        super().__init__(width)
        self.noise = nn.Dropout(0.5)
        for layer in self.body.layer:
            layer.noise = nn.Dropout(0.5)

    def encode(self, inputs):
        encoded = super().encode(inputs)
        return type(encoded)(self.body.layer[0].noise(self.noise(encoded.hidden)), encoded.mask)


own = functools.partial(quick.own, __name__)


@hookimpl
def hub_backbones():
    able = {"text", "linears", "layers", "attention", "hub-toys:stack"}
    yield own("own-noisy", "Noisy", "hub_toys.options:ToyBackboneOptions", provides=able)


@hookimpl
def hub_heads():
    able = {"scores", "head-weights", "one-label"}
    yield own("own-scripted", "Scripted", "hub_classification.options:PooledOptions",
              provides=able)  # fmt: skip


@hookimpl
def hub_strategies():
    yield own("own-spy", "Spy")
    yield own("own-later-spy", "LaterSpy")
    yield own("own-hinting", "Hinting")
    yield own("own-adding", "Adding")


CATALOG = Catalog([*installed().plugins(), Plugin("own", __name__, "hub-own", "1.0")])
ROWS = toydata.labelled(32)
WHOLE = {"train": ROWS}
"""All 32 rows for training and none for validation: four steps of eight in an epoch."""
WATCHED = {"train": ROWS, "validation": toydata.labelled(8, seed=9)}


@pytest.fixture
def told():
    """What the methods of the strategy own-spy do in this test."""
    TOLD.clear()
    SCRIPT.clear()
    yield TOLD
    TOLD.clear()
    SCRIPT.clear()


def run(data=WHOLE, *, tasks=None, out=None, **values):
    """Train; return the result and the figures of every step."""
    steps = []

    def report(event, figures):
        if event == "step":
            steps.append(dict(figures))

    recipe = toydata.recipe(**{"device": "cpu", **values})
    recipe["tasks"].update(tasks or {})
    result = hub_core.train(recipe, data, out=out, report=report, catalog=CATALOG, prove=False)
    return result, steps


def tensors(result):
    return {name: t.detach().clone() for name, t in tensors_of(result.predictor.model).items()}


def same(first, second):
    return set(first) == set(second) and all(torch.equal(first[n], second[n]) for n in first)


# -- stages


@pytest.mark.parametrize(
    ("shares", "epochs", "expected"),
    [
        ([1.0], 3, [3]),
        ([0.5, 0.5], 4, [2, 2]),
        ([0.25, 0.75], 4, [1, 3]),
        ([1.0, 1.0, 2.0], 8, [2, 2, 4]),
        ([0.34, 0.66], 3, [1, 2]),
        ([0.01, 0.99], 1, [1, 1]),
        ([0.5, 0.5], 5, [3, 2]),
        ([0.5, 0.5], 3, [2, 1]),
        ([1.0, 1.0, 1.0], 7, [3, 2, 2]),
        ([0.01, 0.01, 0.98], 4, [1, 1, 2]),
    ],
)
def test_stages_share_the_epochs_and_have_one_at_least(told, shares, epochs, expected):
    told["stages"] = lambda *_: tuple(Stage(f"s{n}", share) for n, share in enumerate(shares))
    result, steps = run(strategies=["own-spy"], epochs=epochs)
    seen = [entry["stage"] for entry in result.history]
    assert seen == [f"s{n}" for n, count in enumerate(expected) for _ in range(count)]
    assert [entry["epoch"] for entry in result.history] == list(range(1, sum(expected) + 1))
    assert {entry["epochs"] for entry in result.history} == {sum(expected)}
    assert len(steps) == 4 * sum(expected) == steps[-1]["steps"] == result.history[-1]["step"]
    assert [step["stage"] for step in steps[::4]] == seen


def test_epochs_are_neither_lost_nor_gained_whatever_the_shares():
    chance = random.Random(7)
    for _ in range(300):
        stages = [Stage(share=chance.uniform(0.01, 1)) for _ in range(chance.randint(1, 6))]
        epochs = chance.randint(len(stages), 40)
        found = stage_epochs(stages, epochs)
        assert sum(found) == epochs
        whole = sum(stage.share for stage in stages)
        exact = [epochs * stage.share / whole for stage in stages]
        assert min(found) >= 1
        if min(exact) >= 1:
            assert all(abs(e - n) < 1 for e, n in zip(exact, found, strict=True))


def test_clocks_count_steps_and_epochs_within_their_stage(told):
    clocks = []
    told["stages"] = lambda *_: (Stage("one"), Stage("two"))
    told["on_step_end"] = lambda part, model, clock: clocks.append(clock)
    run(strategies=["own-spy"], epochs=4)
    assert [(c.stage, c.step, c.epoch) for c in clocks] == [
        (stage, step, step // 4) for stage in ("one", "two") for step in range(8)
    ]
    assert {(c.steps, c.epochs) for c in clocks} == {(8, 2)}
    assert [c.progress for c in clocks[:8]] == [n / 8 for n in range(8)]


def test_what_is_chosen_trains_and_nothing_else_is_touched(told):
    body, trains = [], []
    told["stages"] = lambda *_: (Stage("head"), Stage("layer"))
    told["select"] = lambda part, model, chosen, clock: (
        chosen if clock.stage == "head" else frozenset(model.layers()[1].parameters())
    )

    def look(part, model, clock):
        body.append({name: t.detach().clone() for name, t in model.named_parameters()})
        trains.append({name for name, p in model.named_parameters() if p.requires_grad})

    told["on_gradients"] = look
    result, _ = run(strategies=["own-spy"], epochs=2, warmup=0, learning_rate=1e-2)
    body.append({name: t.detach() for name, t in result.predictor.model.named_parameters()})
    for step in range(8):
        start = "heads." if step < 4 else "backbone.body.layer.1."
        expected = {name for name in body[0] if name.startswith(start)}
        changed = {n for n in body[0] if not torch.equal(body[step][n], body[step + 1][n])}
        assert trains[step] == expected
        assert changed == expected


def test_what_narrows_has_the_last_word_whatever_the_order(told):
    seen = []
    told["select"] = lambda part, model, chosen, clock: (
        chosen & model.head_parameters() if part.narrows else frozenset(model.parameters())
    )
    told["on_loss"] = lambda part, model, *_: seen.append(
        {name for name, p in model.named_parameters() if p.requires_grad}
    )
    run(strategies=["own-later-spy", "full"], epochs=1)
    assert seen == [{"heads.main.output.weight", "heads.main.output.bias"}] * 4


# -- rates


def rates(**values):
    return [step["rate"] for step in run(**{"learning_rate": 0.001, **values})[1]]


def test_the_rate_warms_up_then_decays_to_a_last_step_above_zero():
    assert rates(epochs=2, warmup=0.25) == pytest.approx(
        [0.001 * factor for factor in (1 / 3, 2 / 3, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6)]
    )


def test_without_warm_up_the_rate_decays_from_the_first_step():
    assert rates(epochs=2, warmup=0) == pytest.approx([0.001 * n / 8 for n in range(8, 0, -1)])


def test_every_stage_warms_up_and_decays_at_its_own_base_rate(told):
    told["stages"] = lambda *_: (Stage("one", 1, 0.1), Stage("two", 1))
    found = rates(strategies=["own-spy"], epochs=2, warmup=0.25, learning_rate=0.01)
    shape = [1 / 2, 1, 2 / 3, 1 / 3]
    assert found == pytest.approx([0.1 * f for f in shape] + [0.01 * f for f in shape])


def test_a_schedule_replaces_warm_up_and_decay_and_factors_of_parts_are_multiplied(told):
    told["learning_rate"] = lambda part, clock: 0.5 if part.narrows else 1 + clock.step
    both = ["own-spy", "own-later-spy"]
    assert rates(strategies=both, epochs=1, warmup=0) == pytest.approx(
        [0.001 * 0.5 * (step + 1) * (4 - step) / 4 for step in range(4)]
    )
    told["schedule"] = lambda part, clock: 0.25 if part.narrows else None
    assert rates(strategies=both, epochs=1, warmup=0) == pytest.approx(
        [0.001 * 0.5 * (step + 1) * 0.25 for step in range(4)]
    )


@pytest.mark.parametrize(
    ("strategies", "given", "base"),
    [
        (["own-hinting"], 0.5, 0.5),
        (["own-hinting", "full"], None, 0.125),
        (["full", "own-hinting"], None, 1e-4),
        (["own-spy"], None, 1e-3),
    ],
)
def test_the_base_rate_is_the_recipe_s_else_the_first_part_s_else_a_thousandth(
    strategies, given, base
):
    assert rates(strategies=strategies, learning_rate=given, warmup=0)[0] == pytest.approx(base)


# -- the optimizer


def without_gradients(part, model, clock):
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.zero_()


def test_weight_decay_shrinks_matrices_and_leaves_biases_and_norms(told):
    told["on_gradients"] = without_gradients
    before = tensors_of(quick.build(toydata.recipe(strategies=["full"])).model)
    result, steps = run(
        strategies=["full", "own-spy"], weight_decay=0.5, learning_rate=0.1, epochs=1
    )
    factor = 1.0
    for step in steps:
        factor *= 1 - 0.5 * step["rate"]
    assert factor < 0.95
    for name, tensor in result.predictor.model.named_parameters():
        kept = name.endswith(".bias") or ".norms." in name
        expected = before[name] if kept else factor * before[name]
        assert torch.allclose(tensor, expected, rtol=1e-5, atol=1e-9), name


def test_a_part_sets_decay_and_rate_of_single_parameters(told):
    told["on_gradients"] = without_gradients
    told["optimizer_options"] = lambda part, model: {
        model.head("main").output.weight: ParameterOptions(scale=0.5),
        model.layers()[0].up.weight: ParameterOptions(weight_decay=0.0),
        model.layers()[0].norms[0].weight: ParameterOptions(scale=2.0, weight_decay=0.25),
    }
    before = tensors_of(quick.build(toydata.recipe(strategies=["full"])).model)
    result, steps = run(
        strategies=["full", "own-spy"], weight_decay=0.5, learning_rate=0.1, epochs=1
    )
    after = tensors_of(result.predictor.model)
    layer = "backbone.body.layer.0"
    for name, scale, decay in (
        ("heads.main.output.weight", 0.5, 0.5),
        (f"{layer}.up.weight", 1.0, 0.0),
        (f"{layer}.norms.0.weight", 2.0, 0.25),
        (f"{layer}.down.weight", 1.0, 0.5),
    ):
        factor = 1.0
        for step in steps:
            factor *= 1 - decay * scale * step["rate"]
        assert torch.allclose(after[name], factor * before[name], rtol=1e-5, atol=1e-9), name


def gradient_norms(told, **values):
    norms = []

    def look(part, model, clock):
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in grads]))))

    told["on_gradients"] = look
    run(strategies=["full", "own-spy"], epochs=1, **values)
    return norms


def test_gradients_are_clipped_to_their_norm_over_all_parameters(told):
    free = gradient_norms(told, clip=0)
    assert min(free) > 0.01
    assert gradient_norms(told, clip=0.01) == pytest.approx([0.01] * 4, rel=1e-3)
    assert gradient_norms(told, clip=1e6) == pytest.approx(free)


# -- losses that are no numbers, and nothing to train

WORDS = ["a", "the day", "a film was", "it was a day", "the film was a very"]


def fail_at(step, value, told):
    def spoil(part, model, batch, output, losses, clock):
        if clock.step == step:
            losses.add("broken", torch.tensor(float(value)))

    told["on_loss"] = spoil


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_loss_that_is_no_number_names_step_task_and_rows(told, value):
    fail_at(2, value, told)
    texts = [WORDS[n] for n in (3, 0, 2)]  # a batch is sorted by length
    rows = [{"text": t, "label": label} for t, label in zip(texts, ["x", "y", "x"], strict=True)]
    with pytest.raises(TrainingError) as caught:
        run({"train": rows}, strategies=["own-spy"], epochs=3)
    assert caught.value.message == (
        f"the loss became {value} in step 3 of task main (training examples 2, 3, 1)"
    )
    assert caught.value.hint == "lower training.learning_rate, or use --precision fp32"


def test_of_many_rows_in_the_step_that_failed_eight_are_named(told):
    fail_at(0, "nan", told)
    rows = [{"text": "a " * (9 - n), "label": "xy"[n % 2]} for n in range(9)]
    with pytest.raises(TrainingError) as caught:
        run({"train": rows}, strategies=["own-spy"], batch_examples=9)
    assert caught.value.message == (
        "the loss became nan in step 1 of task main (training examples 9, 8, 7, 6, 5, 4, 3, 2, …)"
    )


def test_steps_are_counted_over_all_stages_where_a_loss_is_no_number(told):
    told["stages"] = lambda *_: (Stage("one"), Stage("two"))

    def spoil(part, model, batch, output, losses, clock):
        if (clock.stage, clock.step) == ("two", 1):
            losses.scale("task", float("nan"))

    told["on_loss"] = spoil
    with pytest.raises(TrainingError, match=r"the loss became nan in step 6 of task main \("):
        run(strategies=["own-spy"], epochs=2)


def test_a_recipe_in_which_nothing_trains_is_told_before_the_first_step():
    with pytest.raises(TrainingError) as caught:
        run({"train": toydata.continued(8)}, backbone="toy-decoder", head="toy-generate")
    assert caught.value.message == "nothing would train in step 1 of stage train"
    assert caught.value.hint == (
        "choose a strategy that trains something, or a smaller part of the model"
    )


def test_a_later_stage_in_which_nothing_trains_is_told_before_the_first_step(told):
    told["stages"] = lambda *_: (Stage("one"), Stage("two"))
    told["select"] = lambda part, model, chosen, clock: (
        frozenset() if (clock.stage, clock.step) == ("two", 2) else chosen
    )
    told["on_loss"] = lambda *_: pytest.fail("a step was taken")
    with pytest.raises(TrainingError) as caught:
        run(strategies=["own-spy"], epochs=2)
    assert caught.value.message == "nothing would train in step 3 of stage two"


def test_a_part_that_leaves_no_examples_is_told(told):
    told["examples"] = lambda *_: []
    with pytest.raises(DataError) as caught:
        run(strategies=["own-spy"])
    assert caught.value.message == "task main: there are no training examples left"


# -- the best snapshot


def kept_epoch(told, script, **values):
    """Write the epoch's number into the head and the part; return what both have in the end."""
    seen = []

    @torch.no_grad()
    def mark(part, model, clock):
        model.head("main").output.bias.fill_(float(clock.epoch))
        part.value = clock.epoch

    told["on_step_end"] = mark
    told["finalize"] = lambda part, model, ctx: seen.append(part.value)
    SCRIPT[:] = script
    result, _ = run(
        WATCHED, head="own-scripted", strategies=["own-spy"], epochs=len(script), **values
    )
    bias = result.predictor.model.head("main").output.bias
    assert bias.tolist() == [float(seen[0])] * 2
    return seen[0], result


@pytest.mark.parametrize(
    ("script", "best"),
    [([0.2, 0.9, 0.5], 1), ([0.9, 0.5, 0.2], 0), ([0.2, 0.5, 0.9], 2), ([-3.0, -1.0, -2.0], 1)],
)
def test_the_best_epoch_is_restored_with_the_state_of_parts(told, script, best):
    epoch, result = kept_epoch(told, script)
    assert epoch == best
    assert [e["validation"]["main"]["scripted"] for e in result.history] == script


def test_of_equally_good_epochs_the_first_is_kept(told):
    assert kept_epoch(told, [0.2, 0.7, 0.7])[0] == 1


def test_the_best_is_chosen_by_the_metric_that_the_recipe_names(told):
    assert kept_epoch(told, [0.5, 0.2, 0.9], metric="turned")[0] == 1


def test_an_epoch_whose_model_cannot_be_served_is_never_the_best(told):
    told["servable"] = lambda part, model, clock: clock.epoch != 1
    assert kept_epoch(told, [0.2, 0.9, 0.5])[0] == 2


def test_without_validation_the_last_epoch_is_kept(told):
    seen = []

    def mark(part, model, clock):
        part.value = clock.epoch

    told["on_step_end"] = mark
    told["finalize"] = lambda part, model, ctx: seen.append(part.value)
    result, _ = run(strategies=["own-spy"], epochs=3)
    assert seen == [2]
    assert all("validation" not in entry for entry in result.history)


def test_the_snapshot_is_taken_before_parts_hear_of_the_evaluation(told):
    told["on_evaluation"] = lambda part, model, metrics, clock: setattr(part, "value", metrics)
    seen = []
    told["finalize"] = lambda part, model, ctx: seen.append(part.value)
    SCRIPT[:] = [0.5, 0.9, 0.1]
    run(WATCHED, head="own-scripted", strategies=["own-spy"], epochs=3)
    assert seen == [{"main.scripted": 0.5, "main.turned": -0.5}]


def test_the_best_state_of_parts_is_what_an_artifact_holds(told, tmp_path):
    told["on_step_end"] = lambda part, model, clock: setattr(part, "value", clock.epoch)
    SCRIPT[:] = [0.5, 0.9, 0.1]
    run(WATCHED, head="own-scripted", strategies=["own-spy"], epochs=3, out=tmp_path / "it")
    stored = json.loads((tmp_path / "it" / "hub.json").read_text())["methods"][-1]
    assert (stored["name"], stored["state"]) == ("own-spy", {"value": 1})


@pytest.mark.parametrize(
    ("patience", "script", "epochs"),
    [
        (1, [0.5, 0.5, 0.9], 2),
        (2, [0.5, 0.4, 0.5, 0.9], 3),
        (2, [0.5, 0.4, 0.6, 0.5, 0.6, 0.9], 5),
        (0, [0.5, 0.4, 0.3, 0.2], 4),
    ],
)
def test_patience_stops_after_that_many_epochs_without_a_gain(told, patience, script, epochs):
    SCRIPT[:] = script
    result, steps = run(
        WATCHED, head="own-scripted", strategies=["own-spy"], epochs=len(script), patience=patience
    )
    assert len(result.history) == epochs
    assert len(steps) == 4 * epochs


def test_an_unknown_metric_is_told_with_those_that_there_are():
    with pytest.raises(TrainingError) as caught:
        run(WATCHED, strategies=["head-only"], metric="f1")
    assert caught.value.message == "task main has no metric 'f1'"
    assert caught.value.hint == "it has accuracy, macro_f1, matthews, calibration_error"


# -- what is noisy


def modes(told, **values):
    """Return the names of the modules that were in training mode, for each stage."""
    seen = collections.defaultdict(list)

    def look(part, model, batch, output, losses, clock):
        seen[clock.stage].append({name for name, m in model.named_modules() if m.training})

    told["on_loss"] = look
    run(WATCHED, backbone="own-noisy", epochs=2, **values)
    for found in seen.values():
        assert all(names == found[0] for names in found)  # also after an evaluation
    return {stage: found[0] for stage, found in seen.items()}


HEAD = {"heads.main", "heads.main.dropout", "heads.main.output"}


def under(names, start):
    return {name for name in names if name == start or name.startswith(f"{start}.")}


def test_frozen_blocks_are_in_eval_mode_and_those_that_train_are_not(told):
    layers = [{"name": "top-layers", "layers": 1}, "own-spy"]
    [found] = modes(told, strategies=layers).values()
    assert "backbone.body.layer.1.noise" in found
    assert found == HEAD | under(found, "backbone.body.layer.1")


def test_under_a_frozen_backbone_only_the_head_is_in_training_mode(told):
    [found] = modes(told, strategies=["head-only", "own-spy"]).values()
    assert found == HEAD


def test_where_everything_trains_every_dropout_is_on(told):
    [found] = modes(told, strategies=["full", "own-spy"]).values()
    assert found >= HEAD | {"backbone.body.layer.0.noise", "backbone.body.layer.1.noise"}
    assert "backbone.embed" in found


def test_adapters_have_their_dropout_on_and_the_frozen_layer_around_them_has_its_off(told):
    lora = {"name": "lora", "dropout": 0.3, "targets": ["query"]}
    [found] = modes(told, strategies=[lora, "own-spy"]).values()
    for number in (0, 1):
        query = f"backbone.body.layer.{number}.query"
        assert f"{query}.lora_dropout.default" in found
        assert not {f"{query}.base_layer", f"backbone.body.layer.{number}.noise"} & found
    assert found == HEAD | under(found, "backbone.body.layer.0.query") | under(
        found, "backbone.body.layer.1.query"
    )


def test_the_dropout_of_adapters_and_heads_is_off_while_they_are_frozen(told):
    lora = {"name": "lora", "dropout": 0.3, "targets": ["query"]}
    found = modes(told, strategies=[lora, "encoder-only", "own-spy"])
    assert found["probe"] == HEAD
    assert "backbone.body.layer.0.query.lora_dropout.default" in found["encoder"]
    assert not any(name.startswith("heads") for name in found["encoder"])


@pytest.mark.parametrize("path", ["backbone", BODY, "backbone.embed", LOWEST, f"{LOWEST}.query"])
@pytest.mark.parametrize("strategies", [[], ["full"]], ids=["alone", "full"])
def test_a_wrapper_trains_with_its_own_children_wherever_it_is(told, monkeypatch, path, strategies):
    monkeypatch.setattr(Adding, "paths", (path,))
    [found] = modes(told, strategies=["own-adding", *strategies, "own-spy"]).values()
    assert {path, f"{path}.noise"} <= found
    chain = {name for name in found if ".chain" in name}
    inner = {name for name in found if "base_layer" in name} - chain
    assert len(chain) == 4
    assert bool(inner) is bool(strategies)
    if not strategies:
        assert found == HEAD | {path, f"{path}.noise"} | chain


def test_a_wrapper_that_is_not_chosen_yet_is_in_eval_mode_with_its_children(told, monkeypatch):
    monkeypatch.setattr(Adding, "paths", (BODY, LOWEST, f"{LOWEST}.query"))
    told["stages"] = lambda *_: (Stage("probe"), Stage("all"))
    found = modes(told, strategies=["own-adding", "own-spy"])
    assert found["probe"] == HEAD
    inner = f"{BODY}.base_layer.layer.0"
    wrappers = {BODY, inner, f"{inner}.base_layer.query"}
    chain = {f"{inner}.base_layer.chain{name}" for name in ("", ".down", ".noise", ".up")}
    assert found["all"] == HEAD | wrappers | {f"{name}.noise" for name in wrappers} | chain


def test_a_backbone_without_layers_is_in_training_mode_where_it_trains(told):
    for strategies, expected in ((["full"], {"backbone.embed", "backbone.lstm"}), ([], set())):
        seen = []
        told["on_loss"] = lambda part, model, *_, seen=seen: seen.append(
            {name for name, module in model.named_modules() if module.training}
        )
        run(backbone="toy-bilstm", strategies=[*strategies, "own-spy"], epochs=1)
        assert seen == [HEAD | expected] * 4


# -- tasks and batches

TWO = {"main": {"train": ROWS}, "other": {"train": toydata.topics(16)}}


def tasks_of(strategies, **values):
    """Return the tasks of the steps of each of two epochs: four of ``main``, two of ``other``."""
    other = {"other": {"head": "classification"}}
    _, steps = run(TWO, tasks=other, strategies=strategies, **values)
    tasks = [step["task"] for step in steps]
    return tasks[:6], tasks[6:]


def test_several_tasks_are_mixed_anew_in_every_epoch_and_each_is_seen_as_a_whole():
    runs = [tasks_of(["head-only"], seed=seed) for seed in range(4)]
    for epoch in (epoch for both in runs for epoch in both):
        assert sorted(epoch) == ["main"] * 4 + ["other"] * 2
    assert len({tuple(first) for first, _ in runs}) > 2
    assert sum(first != second for first, second in runs) > 2
    assert tasks_of(["head-only"], seed=1) == runs[1]


def test_a_part_may_say_which_task_comes_next(told):
    turn = [None, "other", "other", None, "main", "other"]
    usual, _ = tasks_of(["own-spy"])
    told["next_task"] = lambda part, tasks, clock: turn[clock.step % 6]
    first, second = tasks_of(["own-spy"])
    assert [found for found, wanted in zip(first, turn, strict=True) if wanted] == [
        task for task in turn if task
    ]
    assert (first[0], first[3]) == (usual[0], usual[3])
    assert second[1:3] == ["other", "other"]


def test_the_batches_of_a_task_that_is_asked_for_often_come_round_again(told):
    rows = []
    told["next_task"] = lambda part, tasks, clock: tasks[1]
    told["on_loss"] = lambda part, model, batch, *_: rows.append([row.index for row in batch.rows])
    assert tasks_of(["own-spy"]) == (["other"] * 6, ["other"] * 6)
    assert rows[0] == rows[2] == rows[4] != rows[1] == rows[3] == rows[5]
    assert sorted(rows[0] + rows[1]) == list(range(16))


def test_every_epoch_holds_every_row_once_in_another_order(told):
    rows = []
    told["on_loss"] = lambda part, model, batch, *_: rows.append([row.index for row in batch.rows])
    run(strategies=["own-spy"], epochs=2, batch_examples=5)
    half = len(rows) // 2
    first, second = ([i for batch in part for i in batch] for part in (rows[:half], rows[half:]))
    assert sorted(first) == sorted(second) == list(range(32))
    assert first != second


def test_parts_change_the_loss_by_its_terms(told):
    _, plain = run(strategies=["own-spy"], epochs=1)

    def change(part, model, batch, output, losses, clock):
        losses.scale("task", 0.5)
        losses.add("more", torch.tensor(3.0), 2.0)

    told["on_loss"] = change
    _, changed = run(strategies=["own-spy"], epochs=1)
    assert changed[0]["loss"] == pytest.approx(0.5 * plain[0]["loss"] + 6)


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps():
    result, steps = run(strategies=["head-only"], epochs=2)
    losses = [step["loss"] for step in steps]
    means = [sum(losses[:4]) / 4, sum(losses[4:]) / 4]
    assert [entry["loss"] for entry in result.history] == pytest.approx(means)


# -- chance and precision

NOISY = {
    "backbone": "own-noisy",
    "strategies": ["full", "toy-prefix"],
    "head": {"name": "classification", "dropout": 0.3},
    "learning_rate": 1e-3,
}


def test_the_same_seed_gives_the_same_bits_whatever_happened_before():
    torch.manual_seed(1)
    first, steps = run(WATCHED, **NOISY, seed=3)
    torch.manual_seed(2)
    second, again = run(WATCHED, **NOISY, seed=3)
    assert same(tensors(first), tensors(second))
    assert (steps, first.history, first.metrics) == (again, second.history, second.metrics)


def test_another_seed_gives_other_bits():
    first, _ = run(WATCHED, **NOISY, seed=3)
    second, _ = run(WATCHED, **NOISY, seed=4)
    one, two = tensors(first), tensors(second)
    assert all(not torch.equal(one[name], two[name]) for name in one if "pooling" not in name)


def test_training_leaves_the_global_random_state_as_it_was_found(told):
    for fails in (False, True):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        if fails:
            fail_at(1, "nan", told)
            with pytest.raises(TrainingError):
                run(**NOISY | {"strategies": ["full", "own-spy"]})
        else:
            run(**NOISY)
        assert torch.equal(torch.get_rng_state(), before)


def test_runs_of_different_precision_work_in_one_process(told):
    casts = []
    told["on_loss"] = lambda *_: casts.append(torch.is_autocast_enabled("cpu"))
    found = []
    for precision in ("fp32", "bf16", "fp32"):
        casts.clear()
        result, steps = run(
            strategies=["full", "own-spy"], epochs=1, precision=precision, device="cpu"
        )
        assert casts == [precision == "bf16"] * 4
        found.append((tensors(result), [step["loss"] for step in steps]))
    assert same(found[0][0], found[2][0])
    assert not same(found[0][0], found[1][0])
    assert found[1][1] == pytest.approx(found[0][1], rel=0.05)
    assert all(t.dtype != torch.bfloat16 for t in found[1][0].values())


# -- what parts decide from data, and what is measured


def test_parts_observe_the_data_once_before_it_is_planned_what_trains(told):
    order = []

    def look(part, model, ctx):
        order.append("observe")
        part.value = sum(len(batch.rows) for batch in ctx.batches(100))
        assert sum(len(batch.rows) for batch in ctx.validation(100)) == 8
        assert not any(module.training for module in model.modules())

    told["observe"] = look
    told["stages"] = lambda *_: order.append("stages") or ()
    result, _ = run(WATCHED, strategies=["own-spy"], epochs=1)
    assert order == ["observe", "stages"]
    assert result.history[0]["validation"]


def test_without_validation_data_there_are_no_validation_batches(told):
    seen = []
    told["observe"] = lambda part, model, ctx: seen.append(ctx.validation(5))
    run(strategies=["own-spy"], epochs=1)
    assert seen == [[]]


def test_a_part_that_was_given_its_state_does_not_observe_again(told, tmp_path):
    seen = []

    def look(part, model, ctx):
        seen.append("looked")
        part.value = 1.0

    told["observe"] = look
    strategies = ["full", "own-spy"]
    run(strategies=strategies, epochs=1, out=tmp_path / "first")
    assert seen == ["looked"]
    hub_core.train({}, WHOLE, start=tmp_path / "first", catalog=CATALOG)
    assert seen == ["looked"]


def test_gradients_in_observe_are_those_of_the_mean_loss_and_leave_the_model_as_it_was(told):
    from hub_core.gradients import gradients_of

    found = {}

    def look(part, model, ctx):
        before = {name: p.requires_grad for name, p in model.named_parameters()}
        model.train()
        batch = ctx.batches(1)[0]
        weight = model.head("main").output.weight
        (found["given"],) = gradients_of(model, batch, [weight])
        assert all(module.training for module in model.modules())
        assert {name: p.requires_grad for name, p in model.named_parameters()} == before
        model.eval()
        output = model(batch)
        vector = model.head("main").vector(output.encoded, batch)
        error = output.scores.softmax(1) - model.head("main").ideal_scores(batch)
        found["exact"] = error.t() @ vector / len(batch.rows)

    told["observe"] = look
    run(strategies=["own-spy"], epochs=1)
    assert torch.allclose(found["given"], found["exact"], atol=1e-6)
    assert found["given"].abs().sum() > 0


def test_a_gradient_that_the_loss_does_not_depend_on_is_zero(told):
    from hub_core.gradients import gradients_of

    def look(part, model, ctx):
        other = model.head("other").output.weight
        (gradient,) = gradients_of(model, ctx.batches(1)[0], [other])
        assert torch.equal(gradient, torch.zeros_like(other))
        part.value = "looked"

    told["observe"] = look
    rows = {"main": WHOLE, "other": WHOLE}
    tasks = {"other": {"head": "classification"}}
    result, _ = run(rows, tasks=tasks, strategies=["own-spy"], epochs=1)
    assert result.history


def test_what_is_put_in_place_for_an_evaluation_is_measured_kept_and_taken_back(told):
    trained, served = [], []
    name = "heads.main.output.bias"

    def before(part, model, clock):
        part.kept = model.get_parameter(name).detach().clone()
        trained.append(part.kept)
        model.get_parameter(name).data.copy_(torch.tensor([7.0, float(clock.epoch)]))

    def after(part, model, clock):
        served.append(model.get_parameter(name).detach().clone())
        model.get_parameter(name).data.copy_(part.kept)

    told["before_evaluation"], told["after_evaluation"] = before, after
    SCRIPT.extend([0.2, 0.9, 0.1])
    head = {"main": {"head": "own-scripted"}}
    result, _ = run(WATCHED, tasks=head, strategies=["own-spy"], epochs=3)
    assert [tensor.tolist() for tensor in served] == [[7.0, 0.0], [7.0, 1.0], [7.0, 2.0]]
    assert not torch.equal(trained[0], trained[1])
    assert tensors(result)[name].tolist() == [7.0, 1.0]


def test_without_validation_data_the_served_weights_are_put_in_place_at_the_end(told):
    name = "heads.main.output.bias"
    told["before_evaluation"] = lambda part, model, clock: model.get_parameter(name).data.fill_(7.0)
    result, _ = run(strategies=["own-spy"], epochs=2)
    assert tensors(result)[name].tolist() == [7.0, 7.0]


def test_parts_know_the_rate_of_the_step_while_it_is_taken(told):
    seen = {"on_loss": [], "on_gradients": [], "on_step_end": []}
    told["on_loss"] = lambda part, model, batch, out, losses, clock: seen["on_loss"].append(
        clock.rate
    )
    told["on_gradients"] = lambda part, model, clock: seen["on_gradients"].append(clock.rate)
    told["on_step_end"] = lambda part, model, clock: seen["on_step_end"].append(clock.rate)
    _, steps = run(strategies=["own-spy"], epochs=1)
    rates_taken = [step["rate"] for step in steps]
    assert seen == dict.fromkeys(seen, rates_taken)


def test_a_step_may_take_a_batch_of_each_of_several_tasks(told):
    seen = []
    told["step_tasks"] = lambda part, tasks, clock: tasks
    told["on_backward"] = lambda part, model, batch, clock: seen.append((clock.step, batch.task))
    rows = {"main": WHOLE, "other": {"train": ROWS[:16]}}
    tasks = {"other": {"head": "classification"}}
    _, steps = run(rows, tasks=tasks, strategies=["own-spy"], epochs=2)
    assert len(steps) == 6  # four batches and two, in pairs
    assert seen == [(step, task) for step in range(6) for task in ("main", "other")]


def test_tasks_of_a_step_are_accumulated_like_others(told):
    seen = []
    told["step_tasks"] = lambda part, tasks, clock: tasks
    told["on_backward"] = lambda part, model, batch, clock: seen.append((clock.step, batch.task))
    rows = {"main": WHOLE, "other": WHOLE}
    tasks = {"other": {"head": "classification"}}
    run(rows, tasks=tasks, strategies=["own-spy"], epochs=1, accumulate=2)
    assert seen == [(s, task) for s in range(2) for task in ("main", "other", "main", "other")]


@pytest.mark.parametrize("forgets", [True, False])
def test_the_optimizer_forgets_what_stops_training_where_a_part_says_so(told, forgets):
    steps = []

    class Watched(torch.optim.AdamW):
        def step(self, closure=None):
            found = super().step(closure)
            steps.append([int(self.state[p]["step"]) for p in told["chosen"] if p in self.state])
            return found

    def select(part, model, chosen, clock):
        told["chosen"] = list(model.layers()[0].parameters())[:1]
        return chosen if clock.epoch == 1 else chosen | set(told["chosen"])

    told["select"] = select
    told["optimizer"] = lambda part, groups, ctx: Watched(groups, lr=0.0)
    if forgets:
        told["forgets"] = True
    run(strategies=["own-spy"], epochs=3)
    parked = [[]] * 4 if forgets else [[4]] * 4
    again = [[n] for n in ((1, 2, 3, 4) if forgets else (5, 6, 7, 8))]
    assert steps == [[1], [2], [3], [4], *parked, *again]


def test_a_head_that_reads_layers_gets_what_enters_the_first_and_what_each_gives(told):
    from hub_core.model import TaskModel

    seen = []

    def look(part, model, ctx):
        assert isinstance(model, TaskModel)
        batch = ctx.batches(1)[0]
        head = model.head("main")
        assert model(batch).encoded.layers == ()
        head.reads_layers = True
        encoded = model(batch).encoded
        seen.append((len(encoded.layers), torch.equal(encoded.layers[-1], encoded.hidden)))
        by_hand = encoded.layers[0]
        for layer in model.layers():
            by_hand = layer(by_hand, encoded.mask)
        seen.append(torch.equal(by_hand, encoded.layers[-1]))

    told["observe"] = look
    run(strategies=["own-spy"], epochs=1)
    assert seen == [(3, True), True]


def test_what_parts_log_is_in_the_entry_of_its_epoch(told):
    told["prepare"] = lambda part, model, ctx: setattr(part, "ctx", ctx)

    def log(part, model, clock):
        part.ctx.log("own.step", clock.step)

    told["on_step_end"] = log
    result, _ = run(strategies=["own-spy"], epochs=2)
    assert [entry["logged"] for entry in result.history] == [{"own.step": 3.0}, {"own.step": 7.0}]
    told.pop("on_step_end")
    result, _ = run(strategies=["own-spy"], epochs=1)
    assert "logged" not in result.history[0]


def test_a_loss_that_nothing_changes_is_told(told):
    """Weights are open, but the task's scores do not go through them."""
    told["on_loss"] = lambda part, model, batch, output, losses, clock: losses.terms.update(
        task=losses.terms["task"].detach()
    )
    with pytest.raises(TrainingError) as caught:
        run(strategies=["own-spy"], epochs=1)
    assert caught.value.message == (
        "the loss of task main depends on nothing that trains in step 1, stage train"
    )
    assert (
        caught.value.hint == "choose a strategy that trains something which this task's head uses"
    )
