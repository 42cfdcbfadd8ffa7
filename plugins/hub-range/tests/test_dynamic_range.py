"""The range of scores: formulas, when a bound grows, what is served, and what is refused."""

import json
import math

import pytest
import quick
import torch
import toydata
from torch.nn import functional as F

import hub_core
from hub_core.declare import Clock, Task
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.part import Context
from hub_range.calibration import judge, temperature_for
from hub_range.dynamic import DynamicRange, factor_at, first_value
from hub_range.growth import Growth
from hub_range.options import DynamicRangeOptions
from hub_range.ranged import bounded

DEFAULTS = DynamicRangeOptions()
SPREAD = torch.linspace(-8, 8, 101)


def range_of(folder):
    return hub_core.load(folder).model.heads["main"]


def report_of(result):
    marked = "dynamic-range."
    return {name.removeprefix(marked): value for name, value in result.manifest.report.items()
            if name.startswith(marked)}  # fmt: skip


def trained(folder, *strategies, rows=None, **training):
    values = toydata.recipe(strategies=strategies, **{"learning_rate": 1e-2, **training})
    return hub_core.train(values, rows or toydata.labelled(), out=folder, prove=False)


# -- formulas


def test_a_wide_bound_leaves_scores_as_they_are():
    torch.testing.assert_close(bounded(SPREAD, 1000.0), SPREAD, atol=1e-3, rtol=0)
    assert torch.equal(bounded(SPREAD, math.inf), SPREAD)


def test_a_bound_keeps_the_order_and_is_never_passed():
    found = bounded(SPREAD, 3.0)
    assert (found.diff() > 0).all()
    assert found.abs().max() < 3


def test_the_gradient_of_a_bound_is_1_less_tanh_squared():
    scores = SPREAD.double().requires_grad_(True)
    bounded(scores, 2.5).sum().backward()
    torch.testing.assert_close(scores.grad, 1 - torch.tanh(scores.detach() / 2.5) ** 2)


@pytest.mark.parametrize(("labels", "bound"), [(0, 2), (2, 2), (3, 2 * math.log(3)), (10, 4.60517)])
def test_the_first_bound_follows_the_number_of_labels(labels, bound):
    assert first_value("bounded", "auto", labels) == pytest.approx(bound)


def test_a_scheduled_factor_goes_from_start_to_end_ever_more_slowly():
    found = [factor_at(t / 4, 0.25, 1.0) for t in range(5)]
    assert found == pytest.approx([0.25, 0.25 + 0.75 * 37 / 64, 0.25 + 0.75 * 7 / 8,
                                   0.25 + 0.75 * 63 / 64, 1.0])  # fmt: skip


# -- growth


def bounds(scores, **options):
    growth, found = Growth(2.0, 2.0), []
    for score in scores:
        growth.tell(score, DynamicRangeOptions(**options))
        found.append(growth.value)
    return found


def test_a_bound_grows_while_the_metric_gains():
    assert bounds([0.5, 0.6, 0.7]) == pytest.approx([3, 4.5, 6.75])


def test_two_growths_without_gain_bring_the_best_bound_back_for_good():
    assert bounds([0.5, 0.6, 0.6, 0.5, 0.9, 0.9]) == pytest.approx([3, 4.5, 6.75, 3, 3, 3])


def test_a_gain_within_the_tolerance_counts_as_none():
    assert bounds([0.5, 0.5005, 0.501], patience=2) == pytest.approx([3, 4.5, 2])
    assert bounds([0.5, 0.5005, 0.501], tolerance=0) == pytest.approx([3, 4.5, 6.75])


def test_a_bound_grows_no_further_than_the_largest():
    assert bounds([0.1, 0.2, 0.3, 0.4], largest=5) == pytest.approx([3, 4.5, 5, 5])


def test_what_is_not_a_number_is_no_gain():
    assert bounds([0.5, math.nan, math.nan, 0.9]) == pytest.approx([3, 4.5, 2, 2])


def test_a_restored_state_keeps_the_later_evaluations():
    growth = Growth(2.0, 2.0)
    growth.tell(0.5, DEFAULTS)
    early = growth.state_dict()
    growth.tell(0.4, DEFAULTS)
    growth.load(early)
    assert (growth.value, growth.history) == (3.0, [2.0, 3.0])


# -- training


def test_the_bound_of_the_best_epoch_is_served(tmp_path):
    result = trained(tmp_path / "a", "full", "dynamic-range", epochs=5)
    lines = (tmp_path / "a.run" / "train.jsonl").read_text().splitlines()
    scores = [json.loads(line)["validation"]["main"]["accuracy"] for line in lines]
    replayed = [2.0, *bounds(scores)]
    best = scores.index(max(scores))
    assert float(range_of(tmp_path / "a").value) == pytest.approx(replayed[best])
    assert report_of(result)["range"] == pytest.approx(replayed[best])
    assert report_of(result)["range_evaluations"] == 5
    assert report_of(result)["range_at_2"] == pytest.approx(replayed[1])
    assert "temperature" not in report_of(result)


def test_served_scores_are_those_in_the_bound(tmp_path):
    trained(tmp_path / "a", "full", "dynamic-range", epochs=4)
    predictor = hub_core.load(tmp_path / "a")
    head = predictor.model.heads["main"]
    examples = toydata.labelled(16, seed=9)
    served = predictor.scores(examples)
    head.put(math.inf)
    plain = predictor.scores(examples)
    bound = hub_core.load(tmp_path / "a").manifest.report["dynamic-range.range"]
    torch.testing.assert_close(served, bound * torch.tanh(plain / bound))
    assert not torch.equal(served, plain)


def part_of(metric="", **options):
    """Return the part over two tasks, prepared, with its model."""
    values = toydata.recipe(strategies=["head-only"])
    values["tasks"]["other"] = {"head": "classification"}
    built = quick.build(values)
    part = DynamicRange(DynamicRangeOptions(**options))
    part.prepare(built.model, Context(tasks=tuple(built.tasks), metric=metric))
    return part, built.model


def tell(part, model, **metrics):
    part.on_evaluation(model, {k.replace("_", ".", 1): v for k, v in metrics.items()},
                       Clock(1, 2, 0, 2))  # fmt: skip
    return [float(model.heads[name].value) for name in ("main", "other")]


def test_every_task_has_a_bound_that_grows_by_its_own_metric():
    part, model = part_of(patience=1)
    assert tell(part, model, main_accuracy=0.5, other_accuracy=0.5) == [3, 3]
    assert tell(part, model, main_accuracy=0.6, other_accuracy=0.4) == [4.5, 2]
    assert tell(part, model, main_accuracy=0.7) == [6.75, 2]


def test_the_metric_that_the_recipe_watches_is_the_one_that_counts():
    part, model = part_of(metric="macro_f1", patience=1)
    tell(part, model, main_accuracy=0.5, main_macro_f1=0.5)
    assert tell(part, model, main_accuracy=0.9, main_macro_f1=0.4) == [2, 2]


def test_training_tells_the_part_which_metric_the_recipe_watches(monkeypatch):
    told, prepare = [], DynamicRange.prepare
    monkeypatch.setattr(DynamicRange, "prepare", lambda part, model, ctx: (
        told.append(ctx.metric), prepare(part, model, ctx)))  # fmt: skip
    values = toydata.recipe(strategies=["head-only", "dynamic-range"], epochs=1, metric="matthews")
    hub_core.train(values, toydata.labelled(24))
    assert told == ["matthews"]


def test_a_scheduled_factor_reaches_its_end_over_all_stages():
    values = toydata.recipe(
        strategies=["encoder-only", {"name": "dynamic-range", "variant": "scheduled", "end": 0.8}]
    )
    values["tasks"]["main"] |= {"validation": 0, "test": 0}
    result = hub_core.train(values, toydata.labelled(24))
    assert float(result.predictor.model.heads["main"].value) == pytest.approx(0.8)


def test_a_learned_factor_learns_and_is_saved(tmp_path):
    result = trained(tmp_path / "a", "head-only", {"name": "dynamic-range", "variant": "learned"})
    tau = range_of(tmp_path / "a").tau
    assert float(tau) != 0
    assert report_of(result)["range"] == pytest.approx(math.exp(float(tau)))


def test_a_learned_factor_is_100_at_most():
    part, model = part_of(variant="learned", start=3)
    assert model.heads["main"].number() == pytest.approx(3)
    model.heads["main"].tau.data.fill_(9.0)
    part.on_step_end(model, Clock(0, 1, 0, 1))
    assert model.heads["main"].number() == pytest.approx(100)


def test_a_regression_is_bounded_in_deviations_of_its_targets(tmp_path):
    values = toydata.recipe(
        head="regression", strategies=["full", "dynamic-range"], learning_rate=1e-2
    )
    result = hub_core.train(values, toydata.scored(), out=tmp_path / "a", prove=False)
    head = range_of(tmp_path / "a")
    bound, (mean, deviation) = float(head.value), head.scale.tolist()
    assert report_of(result)["range"] == pytest.approx(bound)
    assert "calibration_error_after" not in report_of(result)
    predictor = hub_core.load(tmp_path / "a")
    predictor.model.heads["main"].base_layer.output.weight.data.mul_(1e4)
    far = [p["score"] for p in predictor.predict(["good", "bad cold", "a sweet day"])]
    assert [abs(score - mean) / deviation for score in far] == pytest.approx([bound] * 3, rel=1e-3)


# -- a range that never helped


def test_a_bound_that_only_harms_is_taken_away_and_told(tmp_path, caplog):
    tight = {"name": "dynamic-range", "start": 0.1, "largest": 0.1}
    result = trained(tmp_path / "a", "full", tight, epochs=3)
    head = range_of(tmp_path / "a")
    assert math.isinf(float(head.value))
    assert report_of(result)["range_removed"] == 1
    assert "range" not in report_of(result)
    [message] = [m for m in caplog.messages if "bound" in m]
    own = hub_core.load(tmp_path / "a").scores(toydata.labelled(4))
    assert own.abs().max() > 0.1
    start, _, rest = message.partition("loss is ")
    assert start == (
        "task main: no growth of the bound 0.1 improved accuracy, and without a bound the "
        "validation "
    )
    plain, _, bound = rest.removesuffix(", so the scores are served without one").partition(
        " instead of "
    )
    assert float(plain) < float(bound)


# -- calibration


def test_the_calibration_error_of_a_small_example_is_the_one_by_hand():
    confidences = torch.tensor([0.95, 0.94, 0.7, 0.6])  # bins 15, 15, 11, 9
    scores = torch.stack([confidences, 1 - confidences], 1).log()
    found = judge(scores, torch.tensor([0, 1, 0, 0]))
    assert found.accuracy == 0.75
    assert found.calibration_error == pytest.approx((0.89 + 0.3 + 0.4) / 4, abs=1e-6)


def test_the_temperature_undoes_scores_that_are_too_large():
    generator = torch.Generator().manual_seed(3)
    right = torch.randn(4000, 4, generator=generator)
    targets = torch.multinomial(right.softmax(1), 1, generator=generator).squeeze(1)
    found = temperature_for(5 * right, targets)
    grid = torch.linspace(0.5, 10, 951)
    losses = [float(F.cross_entropy(5 * right / t, targets)) for t in grid]
    assert found == pytest.approx(float(grid[losses.index(min(losses))]), abs=0.011)
    assert found == pytest.approx(5, rel=0.05)
    assert judge(5 * right / found, targets).calibration_error < 0.03
    assert judge(5 * right, targets).calibration_error > 0.2


@pytest.mark.parametrize(("targets", "limit"), [([0, 1], 0.05), ([1, 0], 20.0)])
def test_a_temperature_stays_within_its_limits(targets, limit):
    found = temperature_for(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor(targets))
    assert 0.05 <= found <= 20
    assert found == pytest.approx(limit, rel=0.15)


def test_what_is_served_is_divided_by_the_temperature(tmp_path):
    part = {"name": "dynamic-range", "calibrate": True}
    result = trained(tmp_path / "a", "full", part, epochs=3, rows=toydata.topics())
    found = report_of(result)
    head = range_of(tmp_path / "a")
    assert float(head.temperature) == pytest.approx(found["temperature"])
    assert found["temperature"] != 1
    examples = toydata.topics(8, seed=7)
    predictor = hub_core.load(tmp_path / "a")
    served = predictor.scores(examples)
    predictor.model.heads["main"].temperature.fill_(1.0)
    torch.testing.assert_close(predictor.scores(examples) / found["temperature"], served)


def test_reported_calibration_is_that_of_the_served_model(tmp_path):
    result = trained(tmp_path / "a", "full", {"name": "dynamic-range", "calibrate": True})
    measured = result.metrics["main"]["validation"]
    found = report_of(result)
    assert found["calibration_error_after"] == pytest.approx(measured["calibration_error"])
    assert found["accuracy_change"] == 0


# -- what is refused


@pytest.mark.parametrize(
    ("options", "what", "way"),
    [
        ({}, "grow the bound by", ', or set variant = "scheduled" or "learned", which need none'),
        ({"variant": "learned", "calibrate": True}, "calibrate on", ", or leave calibrate out"),
    ],
)
def test_no_validation_data_are_refused(options, what, way):
    values = toydata.recipe(strategies=["head-only", {"name": "dynamic-range", **options}])
    values["tasks"]["main"] |= {"validation": 0, "test": 0}
    with pytest.raises(IncompatibleError) as caught:
        hub_core.train(values, toydata.labelled(24))
    assert caught.value.message == f"dynamic-range: task main has no validation data to {what}"
    assert caught.value.hint == f"give --validation, or tasks.main.validation = 0.1{way}"


def test_a_temperature_for_a_number_is_refused():
    part = {"name": "dynamic-range", "calibrate": True}
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(head="regression", strategies=["full", part]))
    assert caught.value.message == (
        "these do not compose:\n  - strategy dynamic-range needs 'one-label' (the head predicts "
        "one label per example), but nothing here gives it"
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"start": 60}, "start = 60 is more than largest = 50"),
        ({"variant": "scheduled", "start": 2}, "start = 2 is more than end = 1"),
        ({"variant": "learned", "start": 101},
         "start = 101 is more than 100, the most that a learned factor can become"),
        ({"growth": 1}, "growth = 1: input should be greater than 1"),
    ],
)  # fmt: skip
def test_options_out_of_bounds_are_refused(options, problem):
    with pytest.raises(OptionsError) as caught:
        quick.build(toydata.recipe(strategies=["full", {"name": "dynamic-range", **options}]))
    assert problem in caught.value.message


def test_tasks_that_are_left_out_of_an_artifact_do_not_matter():
    part, _ = part_of()
    alone = DynamicRange(DEFAULTS)
    alone.load_state_dict(part.state_dict())
    built = quick.build(toydata.recipe(strategies=["head-only"]))
    alone.prepare(built.model, Context(tasks=(Task("main", ("bad", "good")),)))
    alone.on_evaluation(built.model, {"main.accuracy": 0.5}, Clock(1, 2, 0, 2))
    assert float(built.model.heads["main"].value) == 3
