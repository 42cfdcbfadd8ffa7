"""Tasks are drawn, weighed and kept from each other's way as the papers' formulas say."""

import math
import random
from collections import Counter

import pytest
import torch
import toydata
from torch import nn

import hub_core
from hub_core.build import plan
from hub_core.card.published import Published
from hub_core.card.writing import write_card
from hub_core.catalog import installed
from hub_core.declare import Clock
from hub_core.errors import IncompatibleError, OptionsError, RecipeError
from hub_core.extract import extract
from hub_core.part import Context
from hub_core.recipe import parse, read
from hub_multitask.attention import TaskAttention
from hub_multitask.multi_task import MultiTask
from hub_multitask.options import MultiTaskOptions
from hub_multitask.sampling import chances
from hub_multitask.surgery import Surgery, cosines, projected
from hub_multitask.weighting import DynamicAverage, Uncertain, averaged

SIZES = {"large": 900, "middle": 90, "small": 10}
HEADS = {"mood": "classification", "strength": "regression", "topics": "multi-label"}
DATA = {
    "mood": toydata.labelled(64),
    "strength": toydata.scored(24),
    "topics": toydata.several(32),
}


def recipe(strategies=("full",), heads=HEADS, training=None, **options):
    own = {"name": "multi-task", **options}
    values = toydata.recipe(strategies=[*strategies, own], **(training or {}))
    return {**values, "tasks": {name: {"head": head} for name, head in heads.items()}}


def trained(out=None, **settings):
    data = {name: DATA[name] for name in settings.get("heads", HEADS)}
    return hub_core.train(recipe(**settings), data, out=out, prove=False)


def part_of(options, sizes=SIZES, seed=7):
    part = MultiTask(MultiTaskOptions(**options))
    empty = {"pairs": 0, "conflicts": 0, "cosine": 0.0}
    part.load_state_dict({"seed": seed, "sizes": dict(sizes), "batches": {}, "surgery": empty,
                          "average": {"epoch": [], "sums": {}, "means": []}})  # fmt: skip
    return part


# -- which task comes next


@pytest.mark.parametrize(
    ("options", "epoch", "alpha"),
    [
        ({"sampling": "proportional"}, 2, 1.0),
        ({"sampling": "square-root"}, 2, 0.5),
        ({"sampling": "annealed"}, 0, 1.0),
        ({"sampling": "annealed"}, 2, 1 - 0.8 * 2 / 4),
        ({"sampling": "annealed"}, 4, 0.2),
    ],
)
def test_tasks_are_drawn_as_often_as_the_formula_says(options, epoch, alpha):
    part, draws = part_of(options), 6000
    clocks = (Clock(step, draws, epoch, 5) for step in range(draws))
    found = Counter(part.next_task(list(SIZES), clock) for clock in clocks)
    whole = sum(size**alpha for size in SIZES.values())
    for task, size in SIZES.items():
        expected = size**alpha / whole
        error = 4 * math.sqrt(expected * (1 - expected) / draws)
        assert abs(found[task] / draws - expected) < error, task


def test_explicit_shares_are_what_is_drawn_whatever_the_sizes():
    clock = Clock(0, 1, 0, 1)
    shares = {"large": 1, "middle": 1, "small": 6}
    found = chances("explicit", SIZES, shares, clock)
    assert found == {"large": 1 / 8, "middle": 1 / 8, "small": 6 / 8}
    part = part_of({"sampling": "explicit", "shares": {"large": 0, "middle": 0, "small": 1}})
    drawn = {part.next_task(list(SIZES), Clock(step, 50, 0, 1)) for step in range(50)}
    assert drawn == {"small"}


def test_a_single_epoch_is_annealed_from_where_it_begins():
    assert chances("annealed", SIZES, {}, Clock(0, 1, 0, 1)) == chances(
        "proportional", SIZES, {}, Clock(0, 1, 0, 1)
    )


def test_the_next_task_depends_on_seed_and_clock_alone():
    part, again, other = part_of({}), part_of({}), part_of({}, seed=8)
    clocks = [Clock(step, 200, 0, 1, rate=step) for step in range(200)]
    first = [part.next_task(list(SIZES), clock) for clock in clocks]
    assert [again.next_task(list(SIZES), c) for c in reversed(clocks)] == first[::-1]
    assert [other.next_task(list(SIZES), clock) for clock in clocks] != first


def test_some_tasks_together_are_different_ones_drawn_by_their_shares():
    part = part_of({"surgery": "pcgrad", "together": 2})
    steps = [part.step_tasks(list(SIZES), Clock(step, 500, 0, 1)) for step in range(500)]
    assert {len(set(step)) for step in steps} == {2}
    count = Counter(task for step in steps for task in step)
    assert count["large"] > count["middle"] > count["small"] > 0
    assert part_of({"surgery": "pcgrad"}).step_tasks(["a", "b"], Clock(0, 1, 0, 1)) == ("a", "b")


def test_the_report_counts_the_batches_that_were_drawn(tmp_path):
    data = {name: {"train": rows} for name, rows in DATA.items()}  # so nothing is taken back
    result = hub_core.train(recipe(), data, out=tmp_path / "out", prove=False)
    state = next(m.state for m in result.manifest.methods if m.name == "multi-task")
    part, steps = part_of({}, state["sizes"], state["seed"]), result.history[-1]["step"]
    assert state["sizes"] == {name: len(rows) for name, rows in DATA.items()}
    clocks = [Clock(step, steps, step // (steps // 2), 2) for step in range(steps)]
    drawn = Counter(part.next_task(list(HEADS), clock) for clock in clocks)
    report = result.manifest.report
    assert {task: report[f"multi-task.batches_{task}"] for task in drawn} == drawn


# -- weights


def test_the_best_uncertainty_of_a_squared_error_is_the_error_itself():
    for gaussian, best in ((True, 0.37), (False, 2 * 0.37)):
        wrapper = Uncertain(nn.Identity(), gaussian=gaussian)
        optimizer = torch.optim.LBFGS(wrapper.parameters(), max_iter=100)

        def closure(optimizer=optimizer, wrapper=wrapper):
            optimizer.zero_grad()
            factor, log_sigma = wrapper.terms()
            total = factor * 0.37 + log_sigma
            total.backward()
            return total

        optimizer.step(closure)
        assert wrapper.sigma**2 == pytest.approx(best, rel=1e-4)


def test_uncertainty_changes_nothing_at_first_but_half_of_squared_errors():
    terms = [Uncertain(nn.Identity(), gaussian=gaussian).terms() for gaussian in (True, False)]
    assert [(f.item(), s.item()) for f, s in terms] == [(0.5, 0.0), (1.0, 0.0)]


def test_weights_of_dwa_are_the_formulas_numbers():
    pace = {"a": 0.5, "b": 1.0}
    found = averaged(pace, 2.0)
    powers = [math.exp(0.25), math.exp(0.5)]
    assert found["a"] == pytest.approx(2 * powers[0] / sum(powers))
    assert found["b"] == pytest.approx(2 * powers[1] / sum(powers))
    assert sum(found.values()) == pytest.approx(2)


def test_dwa_is_equal_for_two_epochs_and_then_follows_the_losses():
    average = DynamicAverage(2.0)
    losses = [{"a": (2.0, 4.0), "b": (1.0, 1.0)}, {"a": (1.0, 2.0), "b": (1.0, 1.0)},
              {"a": (9.0,), "b": (9.0,)}]  # fmt: skip
    seen = []
    for epoch, tasks in enumerate(losses):
        for task, values in tasks.items():
            for value in values:
                average.note(task, value, Clock(0, 9, epoch, 3))
        seen.append(average.weights(["a", "b"]))
    assert seen[:2] == [{"a": 1.0, "b": 1.0}] * 2
    assert seen[2] == averaged({"a": 1.5 / 3, "b": 1.0}, 2.0)
    again = DynamicAverage(2.0)
    again.restore(average.state())
    assert again.weights(["a", "b"]) == seen[2]


def test_a_task_without_a_batch_in_an_epoch_keeps_its_weight():
    average = DynamicAverage(2.0)
    for epoch, tasks in enumerate((["a"], ["a", "b"], ["a"])):
        for task in tasks:
            average.note(task, 1.0 + epoch, Clock(0, 9, epoch, 3))
    assert average.weights(["a", "b"]) == averaged({"a": 2.0, "b": 1.0}, 2.0)


def test_dwa_trains_with_a_single_epoch():
    assert trained(weighting="dwa", training={"epochs": 1}).history[0]["epoch"] == 1


# -- surgery


def test_conflicting_gradients_are_projected_as_in_the_paper():
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    found = projected([one, other], random.Random(0))
    # g1 - (g1·g2 / |g2|²) g2 = (1/2, 1/2); g2 - (g2·g1 / |g1|²) g1 = (0, 1)
    assert found.tolist() == [0.5, 1.5]
    assert cosines([one, other]) == pytest.approx([-1 / math.sqrt(2)])


def test_gradients_without_conflict_are_summed():
    vectors = [torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0])]
    assert projected(vectors, random.Random(0)).tolist() == [2.0, 3.0]


def by_hand(gradients, order):
    result = 0
    for i, gradient in enumerate(gradients):
        own = gradient.clone()
        for j in order[i]:
            if i != j and own @ gradients[j] < 0:
                own = own - (own @ gradients[j]) / (gradients[j] @ gradients[j]) * gradients[j]
        result = result + own
    return result


def test_three_tasks_are_projected_one_after_another_in_random_order():
    generator = torch.Generator().manual_seed(3)
    gradients = list(torch.randn(3, 5, generator=generator))
    chance = random.Random(11)
    orders = [chance.sample(range(3), 3) for _ in range(3)]
    assert torch.allclose(projected(gradients, random.Random(11)), by_hand(gradients, orders))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_surgery_is_right_however_many_batches_are_accumulated(accumulate):
    parameters = [
        nn.Parameter(torch.zeros(2)),
        nn.Parameter(torch.zeros(1)),
        nn.Parameter(torch.ones(1)),
    ]
    generator = torch.Generator().manual_seed(5)
    surgery, sums = Surgery(), {"a": torch.zeros(3), "b": torch.zeros(3)}
    for _ in range(accumulate):
        for task in sums:
            new = torch.randn(3, generator=generator) + (2 if task == "a" else -2)
            sums[task] += new
            for parameter, piece in zip(parameters, (new[:2], new[2:]), strict=False):
                parameter.grad = piece.clone() if parameter.grad is None else parameter.grad + piece
            surgery.catch(parameters, task, 2, random.Random(1))
    found = torch.cat([parameters[0].grad, parameters[1].grad])
    assert torch.allclose(found, projected(list(sums.values()), random.Random(1)), atol=1e-5)
    assert parameters[2].grad is None  # no batch has reached it
    surgery.end_step()
    assert (surgery.pairs, surgery.conflicts) == (1, 1)
    assert surgery.report()["gradient_cosine"] == pytest.approx(
        cosines(list(sums.values()))[0], abs=1e-5
    )


def gradients_in_training(monkeypatch, accumulate, **options):
    """Return the gradients that the first step's optimizer sees, by name."""
    seen = {}

    def note(self, model, clock):
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and clock.step == 0:
                seen[name] = parameter.grad.clone()
        self._surgery.end_step()

    monkeypatch.setattr(MultiTask, "on_gradients", note)
    training = {"clip": 0, "accumulate": accumulate, "epochs": 1}
    trained(surgery="pcgrad", training=training, **options)
    return seen


@pytest.mark.parametrize("accumulate", [1, 2])
def test_heads_keep_their_gradients_and_the_shared_ones_are_projected(monkeypatch, accumulate):
    changed = gradients_in_training(monkeypatch, accumulate)
    monkeypatch.setattr(Surgery, "catch", lambda *_: None)
    usual = gradients_in_training(monkeypatch, accumulate)
    heads = [name for name in usual if name.startswith("heads.")]
    assert heads
    assert all(torch.equal(usual[name], changed[name]) for name in heads)
    moved = [name for name in usual if not torch.allclose(usual[name], changed[name], atol=1e-6)]
    assert moved
    assert not set(moved) & set(heads)


# -- attention


def test_attention_begins_near_the_identity():
    hidden = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    found = TaskAttention(nn.Identity(), 8, 4).attended(hidden)
    assert torch.allclose(found, torch.sigmoid(torch.tensor(3.0)) * hidden)


def test_each_task_has_attention_of_its_own_and_keeps_it_alone(tmp_path):
    out = tmp_path / "all"
    trained(out, attention=True, weighting="uncertainty", training={"learning_rate": 1e-2})
    whole = hub_core.load(out)
    masks = [whole.model.heads[name].excite.weight for name in HEADS]
    assert not torch.equal(masks[0], masks[1])
    texts = [row["text"] for row in DATA["mood"][:6]]
    for task in HEADS:
        extract(out, task, tmp_path / task, prove=False)
        alone = hub_core.load(tmp_path / task)
        assert alone.predict(texts) == whole.predict(texts, task=task)
        assert isinstance(alone.model.heads[task], TaskAttention)


# -- with others, and what is told


@pytest.mark.parametrize("strategies", [["full"], ["lora"], ["top-layers"], ["head-only"], []])
def test_tasks_of_different_kinds_and_sizes_learn_together(tmp_path, strategies):
    training = {"epochs": 8, "learning_rate": 1e-2}
    options = {"weighting": "uncertainty", "surgery": "pcgrad"}
    result = trained(tmp_path / "out", strategies=strategies, training=training, **options)
    assert set(result.metrics) == set(HEADS)
    first, last = result.history[0], result.history[-1]
    assert last["loss"] < first["loss"]
    report = result.manifest.report
    assert all(report[f"multi-task.batches_{task}"] > 0 for task in HEADS)
    assert all(0 < report[f"multi-task.sigma_{task}"] < 3 for task in HEADS)
    shared = strategies not in (["head-only"], [])
    assert ("multi-task.gradient_cosine" in report) is shared


def test_every_task_is_measured_predicted_and_told_in_the_card(tmp_path):
    result = trained(tmp_path / "out", strategies=["lora"])
    loaded = hub_core.load(tmp_path / "out")
    keys = {"mood": "label", "strength": "score", "topics": "labels"}
    for task, rows in DATA.items():
        assert keys[task] in loaded.predict(["a fine film"], task=task)[0]
        metrics, count = loaded.evaluate(rows, task=task)
        assert (set(metrics), count) == (set(result.metrics[task]["test"]), len(rows))
    card = write_card(result.manifest, Published("ada/three"))
    assert card.count("This model has 3 tasks. Task `mood`: one label") == 1
    for task in HEADS:
        assert f'hub predict ada/three --task {task} "A text"' in card
        assert f"| `{task}` | test |" in card


def refusal(values, error=IncompatibleError):
    with pytest.raises(error) as caught:
        hub_core.train(values, {name: DATA[name] for name in values["tasks"]})
    return caught.value.message, caught.value.hint


def test_a_single_task_is_refused_before_weights_are_read():
    values = recipe(heads={"mood": "classification"}, surgery="pcgrad")
    with pytest.raises(IncompatibleError) as caught:
        plan(parse(values), installed(), Context())
    assert caught.value.message == (
        "these do not compose:\n  - strategy multi-task needs 'several-tasks' (the recipe has two "
        "tasks or more), but nothing here gives it"
    )


def test_shares_of_a_task_that_is_not_there_are_refused():
    shares = {"mood": 1, "strenght": 1, "topics": 1}
    assert refusal(recipe(sampling="explicit", shares=shares)) == (
        "multi-task: shares names the task 'strenght', which the recipe does not have",
        "did you mean 'strength'?",
    )


def test_a_task_without_a_share_is_refused():
    assert refusal(recipe(sampling="explicit", shares={"mood": 1, "topics": 1})) == (
        "multi-task: shares says nothing about the task 'strength'",
        "give every task a share; one with 0 is never trained",
    )


def test_more_tasks_together_than_there_are_is_refused():
    assert refusal(recipe(surgery="pcgrad", together=4)) == (
        "multi-task: together = 4, but the recipe has 3 tasks",
        "0 takes all of them in every step",
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"sampling": "explicit", "shares": {"mood": 0, "topics": 0}},
            "with explicit sampling, shares must add up to more than 0",
        ),
        ({"shares": {"mood": 1}}, 'shares belong to sampling = "explicit"'),
        ({"surgery": "pcgrad", "together": 1}, "together must be 0 for all tasks, or 2 or more"),
        ({"together": 2}, 'together belongs to surgery = "pcgrad"'),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, sentence):
    with pytest.raises(OptionsError) as caught:
        plan(parse(recipe(**options)), installed(), Context())
    assert sentence in caught.value.message


def test_two_tasks_of_one_name_are_no_recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[tasks.mood]\nhead = "classification"\n[tasks.mood]\nhead = "regression"\n')
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert caught.value.message.startswith(
        f"{path}: is not TOML: Cannot declare ('tasks', 'mood') twice (at line 3, column "
    )


def test_two_parts_that_choose_the_next_task_are_refused():
    values = recipe(strategies=["full", "toy-alternate"])
    with pytest.raises(IncompatibleError) as caught:
        plan(parse(values), installed(), Context())
    assert caught.value.message == (
        "these do not compose:\n  - strategy multi-task needs 'free-sampling' (no part has chosen "
        "which task comes next), but strategy toy-alternate has taken it away"
    )
