"""Several labels: losses and metrics by hand and by scikit-learn, from files to an artifact."""

import json
import math

import pytest
import torch
import toydata
from sklearn.metrics import average_precision_score, f1_score

import hub_core
from hub_classification.multilabel import MultiLabel
from hub_classification.options import MultiLabelOptions
from hub_core.cli import main
from hub_core.data import columns_of, examples_of, read_table, split_off
from hub_core.declare import Task
from hub_core.errors import DataError
from hub_core.model import Batch

LABELS = ("a", "b", "c")


class Width:
    """As much of a backbone as a head reads."""

    pooling = "mean"
    hidden = 8

    @property
    def layout(self):
        return self


def head(**options):
    return MultiLabel(MultiLabelOptions(**options), Task("main", LABELS), Width())


def told(*texts):
    return [{"text": "x", "labels": list(text)} for text in texts]


def predictions(*rows, threshold=0.5):
    scores = [torch.tensor([math.log(p / (1 - p)) for p in row]) for row in rows]
    return head(threshold=threshold).predict(scores, [])


def read(rows, **options):
    table = read_table(rows)
    wanted = MultiLabel.reads(MultiLabelOptions(**options))
    return examples_of(table, wanted, columns_of(table, wanted, {}), None)


def problems(rows, labels=None, **options):
    table = read_table(rows)
    wanted = MultiLabel.reads(MultiLabelOptions(**options))
    with pytest.raises(DataError) as caught:
        examples_of(table, wanted, columns_of(table, wanted, {}), labels)
    return caught.value.message.split("\n  - ")[1:]


# -- data


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (["x", "y"], ["x", "y"]),
        ([], []),
        ([3, 1], ["3", "1"]),
        ("x|y", ["x", "y"]),
        (" x | y z |", ["x", "y z"]),
        ("x", ["x"]),
        ("", []),
        ("|", []),
    ],
)
def test_labels_are_a_list_or_a_text_with_a_separator(value, labels):
    assert read([{"text": "a", "labels": value}])[0]["labels"] == labels


def test_the_separator_is_an_option():
    assert read([{"text": "a", "labels": "x;y|z"}], separator=";")[0]["labels"] == ["x", "y|z"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "the labels are missing; an empty list says that there are none"),
        (3, "3 is not a list of labels"),
        ({"x": 1}, "{'x': 1} is not a list of labels"),
        (b"x", "b'x' is not a list of labels"),
        (["x", None], "the label is missing"),
        (["x", 0.5], "0.5 is a number, not a label"),
        (["x", 1], "['x', 1] mixes numbers with texts"),
        (["x", "x"], "the label 'x' is named twice"),
        ("x|x", "the label 'x' is named twice"),
        ("x|yy", "unknown label 'yy'; the labels are 'x', '1'"),
    ],
)
def test_what_is_no_list_of_labels_is_told(value, problem):
    known = ["x", "1"] if "unknown" in problem else None
    assert problems([{"text": "a", "labels": value}], known) == [
        f"row 1, column 'labels': {problem}"
    ]


def test_rows_with_numbers_and_rows_with_texts_are_told():
    rows = [{"text": "a", "labels": []}, {"text": "a", "labels": ["1"]},
            {"text": "a", "labels": [1]}]  # fmt: skip
    assert problems(rows) == ["row 3, column 'labels': [1] is a number, but row 2 holds a text"]


def test_a_split_keeps_the_shares_of_rare_labels():
    examples = told(*["a"] * 100, *["ab"] * 100, *["abc"] * 20, *["ac"] * 20, *[""] * 50)
    left, taken = split_off(examples, 0.1, "labels", torch.Generator().manual_seed(1))
    assert (len(left), len(taken)) == (261, 29)
    assert sum("c" in example["labels"] for example in taken) == 4
    assert sum("b" in example["labels"] for example in taken) in (11, 12, 13)
    assert sum(not example["labels"] for example in taken) == 5


# -- the head


def test_the_loss_is_the_binary_cross_entropy_of_every_label():
    scores = torch.tensor([[0.0, math.log(3), -math.log(3)], [0.0, 0.0, 0.0]])
    targets = torch.tensor([[1, 1, 0], [0, 0, 0]])
    found = head().loss(scores, Batch("main", [], {}, targets))
    by_hand = [(math.log(2) + 2 * math.log(4 / 3)) / 3, math.log(2)]
    assert found.tolist() == pytest.approx(by_hand)


def test_targets_are_a_one_for_each_label_and_absent_without_labels():
    assert head().target({"labels": ["c", "a"]}) == [1, 0, 1]
    assert head().target({"labels": []}) == [0, 0, 0]
    assert head().target({"text": "x"}) is None


def test_labels_from_the_threshold_on_are_predicted():
    [found] = predictions([0.5, 0.2, 0.9])
    assert found["labels"] == ["a", "c"]
    assert found["probabilities"] == pytest.approx({"a": 0.5, "b": 0.2, "c": 0.9})
    assert predictions([0.5, 0.2, 0.9], threshold=0.6)[0]["labels"] == ["c"]
    assert predictions([0.5, 0.2, 0.9], threshold=0.95)[0]["labels"] == []


def test_metrics_of_a_small_example_are_those_by_hand():
    """a: 1 right, 1 missed; b: 1 right, 1 too many; c: never; 2 of 3 rows are as they are told."""
    found = head().metrics(
        predictions([0.9, 0.8, 0.1], [0.3, 0.9, 0.2], [0.1, 0.1, 0.1]), told("ab", "a", "")
    )
    assert found == {
        "micro_f1": pytest.approx(2 * 2 / (2 * 2 + 1 + 1)),
        "macro_f1": pytest.approx((2 / 3 + 2 / 3) / 2),
        "subset_accuracy": pytest.approx(2 / 3),
        "average_precision": pytest.approx((1 + 1 / 2) / 2),
    }


def test_metrics_are_scikit_learn_s():
    generator = torch.Generator().manual_seed(4)
    truth = (torch.rand(40, 3, generator=generator) < 0.4).int()
    likely = torch.rand(40, 3, generator=generator).clamp(0.01, 0.99)
    rows = told(*["".join(n for n, yes in zip(LABELS, row, strict=True) if yes) for row in truth])
    found = head().metrics(predictions(*likely.tolist()), rows)
    guess = (likely >= 0.5).int()
    assert found["micro_f1"] == pytest.approx(f1_score(truth, guess, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found["average_precision"] == pytest.approx(
        average_precision_score(truth, likely, average="macro")
    )


@pytest.mark.filterwarnings("error")
def test_where_no_label_occurs_metrics_are_0():
    assert head().metrics(predictions([0.1, 0.1, 0.1]), told("")) == {
        "micro_f1": 0.0,
        "macro_f1": 0.0,
        "subset_accuracy": 1.0,
        "average_precision": 0.0,
    }


# -- the whole way


def test_data_without_a_label_are_refused():
    with pytest.raises(DataError) as caught:
        hub_core.train(
            toydata.recipe(head="multi-label", strategies=["head-only"]),
            [{"text": "a", "labels": []}] * 9,
        )
    assert caught.value.message == "task main: no example has a label"
    assert caught.value.hint == "check the column of the labels"


def test_several_labels_are_learned_from_csv_and_predicted_by_the_artifact(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    lines = [f"{row['text']},{';'.join(row['labels'])}\n" for row in toydata.several(400)]
    (tmp_path / "a.csv").write_text("text,labels\n" + "".join(lines))
    values = toydata.recipe(
        head={"name": "multi-label", "separator": ";", "threshold": 0.4},
        strategies=["full"],
        epochs=12,
        learning_rate=3e-3,
    )
    values["tasks"]["main"]["data"] = "a.csv"
    result = hub_core.train(values, out="out", prove=False)
    assert result.metrics["main"]["test"]["micro_f1"] > 0.9
    assert result.manifest.tasks["main"].labels == ["mood", "place", "time"]
    model = hub_core.load("out")
    film, none = model.predict(["the film was warm", "it was"])
    assert (film["labels"], none["labels"]) == (["mood", "place"], [])
    assert model.evaluate("a.csv") == (model.evaluate(["a.csv"])[0], 400)
    assert main(["predict", "out", "the film was warm", "it was"]) == 0
    assert capsys.readouterr().out == "mood, place  the film was warm\n(none)       it was\n"
    assert main(["predict", "out", "it was", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == []
