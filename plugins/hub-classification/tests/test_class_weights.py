"""Rare labels: told before training, and weighted where the option says so."""

import logging

import numpy as np
import pytest
import torch
import toydata
from sklearn.utils.class_weight import compute_class_weight

import hub_core
from hub_classification.heads import Classification
from hub_classification.options import ClassificationOptions
from hub_core.balance import rare_labels
from hub_core.declare import Task
from hub_core.model import Batch


class Width:
    """As much of a backbone as a head reads."""

    pooling = "mean"
    hidden = 8

    @property
    def layout(self):
        return self


def head(labels="abc", **options):
    return Classification(ClassificationOptions(**options), Task("main", tuple(labels)), Width())


def told(text):
    return [{"text": "x", "label": letter} for letter in text]


def test_balanced_weights_are_scikit_learn_s():
    found = head(class_weights="balanced")
    found.observe(told("aaaaaabbbc"))
    expected = compute_class_weight("balanced", classes=np.array(list("abc")), y=list("aaaaaabbbc"))
    assert found.weights.tolist() == pytest.approx(expected.tolist())


def test_the_loss_of_each_row_is_weighted_and_the_mean_weight_is_one():
    plain, weighted = head(), head(class_weights="balanced")
    examples = told("aaaaaabbbc")
    for each in (plain, weighted):
        each.observe(examples)
    scores = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    batch = Batch("main", [], {}, torch.tensor([0] * 6 + [1] * 3 + [2]))
    factors = weighted.loss(scores, batch) / plain.loss(scores, batch)
    assert factors.tolist() == pytest.approx([10 / 18] * 6 + [10 / 9] * 3 + [10 / 3])
    assert factors.mean().item() == pytest.approx(1)


def test_a_label_without_training_examples_has_a_finite_weight():
    found = head(class_weights="balanced")
    found.observe(told("aab"))
    assert found.weights.tolist() == pytest.approx([0.5, 1.0, 1.0])


def test_without_the_option_nothing_is_weighted():
    found = head()
    found.observe(told("aaaaaabbbc"))
    assert found.weights.tolist() == [1, 1, 1]


def test_weights_are_for_training_and_not_in_the_artifact(tmp_path):
    names = []
    for weights in ("none", "balanced"):
        values = toydata.recipe(
            head={"name": "classification", "class_weights": weights}, strategies=["head-only"]
        )
        result = hub_core.train(values, uneven(30, 10), out=tmp_path / weights, prove=True)
        names.append(set(result.manifest.tensors))
    assert names[0] == names[1]


def test_balanced_weights_find_the_rare_label_more_often():
    recall = {}
    for weights in ("none", "balanced"):
        values = toydata.recipe(
            head={"name": "classification", "class_weights": weights},
            strategies=["head-only"],
            epochs=6,
        )
        data = {"train": uneven(190, 10), "test": uneven(50, 50, seed=7)}
        model = hub_core.train(values, data).predictor
        bad = [row["text"] for row in data["test"] if row["label"] == "bad"]
        recall[weights] = sum(p["label"] == "bad" for p in model.predict(bad)) / len(bad)
    assert recall["balanced"] > recall["none"] + 0.2


# -- what is told


def uneven(good, bad, seed=0):
    rows = toydata.labelled(2 * max(good, bad), seed)
    return rows[0 : 2 * good : 2] + rows[1 : 2 * bad : 2]


def warnings_of(caplog, data, head="classification", **task):
    values = toydata.recipe(head=head, strategies=["head-only"], epochs=1)
    values["tasks"]["main"] |= task
    with caplog.at_level(logging.WARNING, "hub_core"):
        hub_core.train(values, {"train": data})
    return [r.getMessage() for r in caplog.records if r.name == "hub_core"]


def test_labels_that_are_far_apart_are_told_with_the_option_that_helps(caplog):
    assert warnings_of(caplog, uneven(101, 10)) == [
        "task main: the label 'good' has 101 training examples, 'bad' only 10: what is rare may "
        'never be predicted; the option class_weights = "balanced" of its head makes rare labels '
        "count more"
    ]


def test_where_the_option_is_used_it_is_not_named(caplog):
    chosen = {"name": "classification", "class_weights": "balanced"}
    assert warnings_of(caplog, uneven(101, 10), chosen) == [
        "task main: the label 'good' has 101 training examples, 'bad' only 10: what is rare may "
        "never be predicted"
    ]


def test_ten_times_as_many_are_not_told(caplog):
    assert warnings_of(caplog, uneven(100, 10)) == []


def test_labels_with_few_or_no_examples_are_told(caplog):
    found = warnings_of(caplog, uneven(20, 4), labels=["good", "bad", "worse"])
    assert found == [
        "task main: labels with fewer than 5 training examples are hardly learned: "
        "'worse' (none), 'bad' (4)"
    ]


def test_rare_labels_of_several_are_told_too(caplog):
    rows = [{"text": row["text"], "labels": ["a", "b"] if n < 5 else ["a"]}
            for n, row in enumerate(toydata.labelled(60))]  # fmt: skip
    assert warnings_of(caplog, rows, "multi-label") == [
        "task main: the label 'a' has 60 training examples, 'b' only 5: what is rare may never "
        "be predicted"
    ]


def test_heads_without_labels_are_told_nothing(caplog):
    assert warnings_of(caplog, toydata.scored(8), "regression") == []


def test_of_many_rare_labels_the_first_ten_are_shown():
    counts = {f"{number:02}": 1 for number in range(12)} | {"often": 10}
    assert rare_labels(counts) == [
        "labels with fewer than 5 training examples are hardly learned: "
        + ", ".join(f"'{number:02}' (1)" for number in range(10))
        + ", …"
    ]
