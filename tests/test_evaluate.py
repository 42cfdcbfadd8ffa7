"""A finished model predicts and measures what it is given, in order, or says what is wrong."""

import pytest
import quick
import torch
import toydata

import hub_core
from hub_core import devices, evaluate
from hub_core.devices import choose_device, choose_precision, choose_threads
from hub_core.errors import DataError, TrainingError
from hub_core.evaluate import Predictor

TEXTS = [row["text"] for row in toydata.labelled(40, seed=3)]
SAY_WHICH = "say which column it is: --column text=NAME, or columns = { text = "
CORRECT = "correct or remove them; rows are counted from 1 and leave out a header line"


def predictor_of(values, labels=quick.LABELS):
    trained = quick.moved(values, labels, size=0.6).finish()
    return Predictor(trained.built.model, trained.tasks)


@pytest.fixture(scope="module")
def mood():
    """A model with one task."""
    return predictor_of(toydata.recipe(strategies=["full"]))


@pytest.fixture(scope="module")
def both():
    """A model with two tasks."""
    values = toydata.recipe(strategies=["full"])
    values["tasks"] = {"mood": {"head": "classification"}, "topic": {"head": "classification"}}
    return predictor_of(values)


@pytest.fixture(scope="module")
def tags():
    """A model that reads a list of words."""
    return predictor_of(toydata.recipe(head="toy-tags", strategies=["full"]), ("mood", "o"))


def refusal(call, *args, **more):
    with pytest.raises(DataError) as caught:
        call(*args, **more)
    return caught.value.message, caught.value.hint


def close(first, second):
    """Whether predictions are the same but for rounding."""
    return len(first) == len(second) and all(
        one["label"] == two["label"]
        and one["probabilities"] == pytest.approx(two["probabilities"], abs=1e-5)
        for one, two in zip(first, second, strict=True)
    )


# -- predictions


@pytest.mark.parametrize("most", [1, 7, 256])
def test_predictions_come_in_the_order_of_the_inputs_whatever_the_batches(mood, monkeypatch, most):
    alone = [mood.predict([text])[0] for text in TEXTS]
    assert len({round(one["probability"], 5) for one in alone}) > 20
    monkeypatch.setattr(evaluate, "BATCH_EXAMPLES", most)
    assert close(mood.predict(TEXTS), alone)
    assert close(mood.predict(TEXTS[::-1]), alone[::-1])


def test_the_same_text_twice_has_the_same_prediction_twice(mood):
    first, second, third = mood.predict([TEXTS[0], TEXTS[1], TEXTS[0]])
    assert close([first], [third])
    assert not close([first], [second])


def test_a_prediction_is_the_label_of_the_largest_probability(mood):
    found = mood.predict(TEXTS)
    assert {one["label"] for one in found} == set(quick.LABELS)
    for one in found:
        assert sum(one["probabilities"].values()) == pytest.approx(1)
        assert one["probability"] == one["probabilities"][one["label"]]
        assert one["probability"] == max(one["probabilities"].values())


def test_no_inputs_have_no_predictions(mood):
    assert mood.predict([]) == []


def test_predicting_trains_nothing_and_draws_nothing(mood):
    mood.model.train()
    torch.manual_seed(4)
    before = torch.get_rng_state()
    assert mood.predict(TEXTS) == mood.predict(TEXTS)
    assert torch.equal(torch.get_rng_state(), before)
    assert not mood.model.training
    assert not any(module.training for module in mood.model.modules())


def test_scores_are_one_tensor_in_the_order_of_the_examples(mood):
    examples = [{"text": text} for text in TEXTS]
    scores = mood.scores(examples)
    assert scores.shape == (len(TEXTS), 2)
    assert not scores.requires_grad
    for row, one in zip(scores.softmax(1).tolist(), mood.predict(TEXTS), strict=True):
        assert row == pytest.approx(list(one["probabilities"].values()), abs=1e-5)


# -- mappings


def test_a_mapping_of_role_to_value_is_as_good_as_a_text(mood):
    told = [{"text": TEXTS[0]}, TEXTS[1], {"text": TEXTS[2], "label": "whatever", "number": 7}]
    assert mood.predict(told) == mood.predict(TEXTS[:3])


def test_a_role_may_have_the_name_of_a_usual_column(mood):
    assert mood.predict([{"Sentence": TEXTS[0]}]) == mood.predict([TEXTS[0]])


def test_the_role_s_own_name_wins_over_usual_names(mood):
    told = [{"sentence": TEXTS[1], "text": TEXTS[0]}]
    assert mood.predict(told) == mood.predict([TEXTS[0]])


def test_inputs_are_not_changed(mood):
    told = [{"text": TEXTS[0], "number": 7}]
    mood.predict(told)
    assert told == [{"text": TEXTS[0], "number": 7}]


def test_a_pair_is_read_beside_the_text(mood):
    pair = {"text": TEXTS[0], "pair": TEXTS[1]}
    joined = mood.predict([f"{TEXTS[0]} | {TEXTS[1]}"])
    assert close(mood.predict([pair]), joined)
    assert not close(mood.predict([pair]), mood.predict([TEXTS[0]]))


def test_a_head_that_reads_words_takes_a_mapping(tags):
    rows = toydata.tagged(5, seed=6)
    found = tags.predict([{"tokens": row["tokens"]} for row in rows])
    assert [len(one["tags"]) for one in found] == [len(row["tokens"]) for row in rows]
    assert {tag for one in found for tag in one["tags"]} == {"mood", "o"}


def test_a_text_for_a_head_that_reads_words_is_told(tags):
    assert refusal(tags.predict, ["a film"]) == (
        "input: 1 value cannot be used:"
        "\n  - row 1, column 'tokens': 'a film' is not a list of words",
        CORRECT,
    )


def test_a_role_that_every_input_lacks_is_told_with_what_there_is(mood, tags):
    assert refusal(mood.predict, [{"txt": "a", "number": 1}, {"txt": "b"}]) == (
        "input: no column 'text' for text (columns: txt, number)",
        SAY_WHICH + '"NAME" } in the recipe',
    )
    assert refusal(tags.predict, [{"text": "a"}])[0] == (
        "input: no column 'tokens' for tokens (columns: text)"
    )


def test_inputs_that_lack_a_role_or_have_nothing_in_it_are_told_by_their_rows(mood):
    inputs = ["fine", "", {"text": None}, {"text": 5}, {"number": 1}, "a day", "  "]
    assert refusal(mood.predict, inputs) == (
        "input: 5 values cannot be used:"
        "\n  - row 2, column 'text': the text is missing"
        "\n  - row 3, column 'text': the text is missing"
        "\n  - row 4, column 'text': 5 is not text"
        "\n  - row 5, column 'text': the text is missing"
        "\n  - row 7, column 'text': the text is missing",
        CORRECT,
    )


def test_a_pair_must_be_there_in_every_input_or_in_none(mood):
    assert refusal(mood.predict, [{"text": "a", "pair": "b"}, "a"]) == (
        "input: 1 value cannot be used:\n  - row 2, column 'pair': the text is missing",
        CORRECT,
    )


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [("a film", "a single text"), ({"text": "a film"}, "a single mapping"), (5, "int"),
     (None, "NoneType"), (b"a film", "bytes")],
)  # fmt: skip
def test_a_single_input_is_not_taken_for_a_list_of_them(mood, inputs, kind):
    assert refusal(mood.predict, inputs) == (
        f"predict takes a list of inputs, not {kind}",
        "give a list, also for a single input: predict([…])",
    )


def test_inputs_may_come_from_anything_that_gives_them_in_turn(mood):
    assert mood.predict(text for text in TEXTS) == mood.predict(tuple(TEXTS)) == mood.predict(TEXTS)


def test_a_list_of_words_is_as_good_as_a_mapping_for_a_head_that_reads_words(tags):
    told = [row["tokens"] for row in toydata.tagged(3, seed=6)]
    assert tags.predict(told) == tags.predict([{"tokens": words} for words in told])


def test_inputs_that_are_neither_texts_nor_mappings_are_told_by_their_rows(mood):
    assert refusal(mood.predict, ["fine", 5, ["a", "b"], None]) == (
        "input: 3 values cannot be used:"
        "\n  - row 2, column 'text': 5 is not text"
        "\n  - row 3, column 'text': ['a', 'b'] is not text"
        "\n  - row 4, column 'text': the text is missing",
        CORRECT,
    )


def test_a_key_that_is_no_name_is_told(mood):
    assert refusal(mood.predict, ["fine", {1: "a"}]) == (
        "input: row 2 has the key 1, which is no name",
        "this head reads text, pair",
    )


def test_no_examples_have_no_scores(mood):
    assert refusal(mood.scores, []) == ("there are no examples to score", "give one or more")


# -- tasks


def test_the_only_task_need_not_be_named(mood):
    assert mood.predict(TEXTS) == mood.predict(TEXTS, task="main")
    assert mood.task() is mood.task("main") is mood.tasks["main"]


def test_each_task_has_predictions_of_its_own(both):
    found = {name: both.predict(TEXTS, task=name) for name in ("mood", "topic")}
    assert not close(found["mood"], found["topic"])
    scores = {name: both.scores([{"text": TEXTS[0]}], task=name) for name in found}
    for name, one in ((name, predictions[0]) for name, predictions in found.items()):
        values = list(one["probabilities"].values())
        assert scores[name].softmax(1)[0].tolist() == pytest.approx(values, abs=1e-5)


def calls(predictor, task):
    rows = toydata.labelled(4)
    return [
        (predictor.task, task),
        (lambda name: predictor.predict(["fine"], task=name), task),
        (lambda name: predictor.evaluate(rows, task=name), task),
        (lambda name: predictor.scores([{"text": "fine"}], task=name), task),
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Mood", "did you mean 'mood'?"),
        ("topics", "did you mean 'topic'?"),
        ("zzz", "it has mood, topic"),
    ],
)
def test_an_unknown_task_is_told_with_the_nearest_or_with_all(both, name, hint):
    for call, task in calls(both, name):
        assert refusal(call, task) == (f"this model has no task '{name}'", hint)


def test_one_of_several_tasks_must_be_named(both):
    for call, task in calls(both, ""):
        assert refusal(call, task) == (
            "this model has several tasks",
            "name one of mood, topic with --task",
        )


def test_an_unknown_task_is_not_taken_for_the_only_one(mood):
    assert refusal(mood.predict, ["fine"], task="other") == (
        "this model has no task 'other'",
        "it has main",
    )


# -- metrics


def test_metrics_are_those_of_the_predictions(mood):
    rows = [{"text": row["text"], "label": row["label"]} for row in toydata.labelled(30, seed=5)]
    right = sum(
        one["label"] == row["label"]
        for one, row in zip(mood.predict([row["text"] for row in rows]), rows, strict=True)
    )
    metrics, count = mood.evaluate(rows)
    assert count == 30
    assert 0 < right < 30
    assert metrics["accuracy"] == pytest.approx(right / 30)


def test_labels_that_the_model_itself_predicts_are_all_right(mood):
    rows = [
        {"text": text, "label": one["label"]}
        for text, one in zip(TEXTS, mood.predict(TEXTS), strict=True)
    ]
    doubt = 1 - sum(one["probability"] for one in mood.predict(TEXTS)) / len(TEXTS)
    assert mood.evaluate(rows) == (
        {"accuracy": 1.0, "macro_f1": 1.0, "matthews": 1.0,
         "calibration_error": pytest.approx(doubt)}, len(TEXTS)
    )  # fmt: skip


def test_columns_may_be_named_and_the_others_are_found(mood):
    rows = toydata.labelled(20, seed=5)
    expected = mood.evaluate(rows)
    renamed = [{"review": row["text"], "verdict": row["label"]} for row in rows]
    assert mood.evaluate(renamed, columns={"text": "review", "label": "verdict"}) == expected
    half = [{"review": row["text"], "label": row["label"]} for row in rows]
    assert mood.evaluate(half, columns={"text": "review"}) == expected


def test_a_named_column_wins_over_the_one_of_training(mood):
    rows = toydata.labelled(20, seed=5)
    turned = [{**row, "other": quick.LABELS[row["label"] == "bad"]} for row in rows]
    expected, _ = mood.evaluate(rows)
    found, _ = mood.evaluate(turned, columns={"label": "other"})
    assert found["accuracy"] == pytest.approx(1 - expected["accuracy"])
    assert found["accuracy"] != pytest.approx(expected["accuracy"])


def test_columns_of_training_are_taken_again_where_they_are_there():
    rows = [
        {"review": row["text"], "verdict": row["label"], "text": "a", "label": "bad"}
        for row in toydata.labelled(24, seed=5)
    ]
    values = toydata.recipe(strategies=["full"], learning_rate=1e-2, epochs=6)
    values["tasks"]["main"]["columns"] = {"text": "review", "label": "verdict"}
    trained = hub_core.train(values, {"train": rows}).predictor
    plain = [{"text": row["review"], "label": row["verdict"]} for row in rows]
    assert trained.evaluate(rows) == trained.evaluate(plain)
    assert trained.evaluate(rows)[0]["accuracy"] > 0.9


def test_each_task_is_measured_by_itself(both):
    rows = toydata.labelled(30, seed=5)
    found = [both.evaluate(rows, task=name)[0] for name in ("mood", "topic")]
    for name, metrics in zip(("mood", "topic"), found, strict=True):
        predicted = both.predict([row["text"] for row in rows], task=name)
        right = sum(p["label"] == row["label"] for p, row in zip(predicted, rows, strict=True))
        assert metrics["accuracy"] == pytest.approx(right / 30)
    assert found[0] != found[1]


def test_unusable_labels_and_columns_are_told(mood):
    rows = [{"text": "fine", "label": "good"}, {"text": "fine", "label": "goood"}]
    assert refusal(mood.evaluate, rows) == (
        "data: 1 value cannot be used:"
        "\n  - row 2, column 'label': unknown label 'goood'; did you mean 'good'?",
        CORRECT,
    )
    other = [{"review": "fine", "verdict": "good"}]
    assert refusal(mood.evaluate, other)[0] == (
        "data: no column 'text' for text; no column 'label' for label (columns: review, verdict)"
    )
    assert refusal(mood.evaluate, other, columns={"text": "reviw", "label": "verdict"}) == (
        "data: no column 'reviw' for text (columns: review, verdict)",
        "did you mean 'review'?",
    )
    assert refusal(mood.evaluate, other, columns={"txt": "review"}) == (
        "this head reads no 'txt'",
        "did you mean 'text'?",
    )
    assert refusal(mood.evaluate, [])[0] == "data: there are no rows"


# -- where it is computed


@pytest.fixture
def threads_put_back():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_put_back")
@pytest.mark.parametrize(
    ("wanted", "cores", "threads"), [(3, 8, 3), (1, 1, 1), (0, 4, 3), (0, 1, 1), (0, None, 1)]
)
def test_threads_are_as_many_as_wanted_or_one_less_than_cores(monkeypatch, wanted, cores, threads):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert choose_threads(wanted) == threads
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("threads_put_back")
def test_a_run_uses_the_threads_of_its_recipe():
    seen = []
    hub_core.train(
        toydata.recipe(strategies=["head-only"], epochs=1, threads=2),
        toydata.labelled(24),
        report=lambda *_: seen.append(torch.get_num_threads()),
    )
    assert set(seen) == {2}


@pytest.fixture
def machine(monkeypatch):
    """Return a function that says which devices there are."""

    def has(*names):
        monkeypatch.setattr("torch.cuda.is_available", lambda: "cuda" in names)
        monkeypatch.setattr("torch.mps.is_available", lambda: "mps" in names)

    return has


def test_a_device_that_is_not_there_is_told_before_data_are_read(machine):
    machine()
    for name in ("cuda", "mps"):
        with pytest.raises(TrainingError) as caught:
            hub_core.train(toydata.recipe(strategies=["full"], device=name), "no such file")
        assert caught.value.message == f"there is no {name} device here"
        assert caught.value.hint == "use --device auto"


@pytest.mark.parametrize(
    ("there", "expected"), [(["cuda", "mps"], "cuda"), (["mps"], "mps"), ([], "cpu")]
)
def test_the_fastest_device_is_taken_unless_one_is_asked_for(machine, there, expected):
    machine(*there)
    assert choose_device("auto") == torch.device(expected)
    assert choose_device("cpu") == torch.device("cpu")
    assert [choose_device(name) for name in there] == [torch.device(name) for name in there]


@pytest.mark.parametrize(
    ("device", "fast", "expected"),
    [("cpu", True, "bf16"), ("cpu", False, "fp32"), ("cuda", True, "bf16"),
     ("cuda", False, "fp32"), ("mps", True, "fp32")],
)  # fmt: skip
def test_half_precision_is_taken_only_where_it_is_fast(monkeypatch, device, fast, expected):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: fast)
    monkeypatch.setattr(devices.torch.cpu, "get_capabilities", lambda: {"avx512_bf16": fast})
    assert choose_precision("auto", torch.device(device)) == expected
    assert choose_precision("fp32", torch.device(device)) == "fp32"
    assert choose_precision("bf16", torch.device(device)) == "bf16"
