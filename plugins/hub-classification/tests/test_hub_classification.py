"""Poolings, losses, metrics and scales against numbers by hand, torch, scikit-learn and scipy."""

import math
import warnings

import pytest
import quick
import tinymodels
import torch
import toydata
from hub_toys.backbones import ToyEncoder
from safetensors.torch import load_file
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

import hub_core
from hub_classification.heads import Classification, Regression
from hub_classification.options import ClassificationOptions, PooledOptions
from hub_classification.pooling import NAMES, POOLINGS
from hub_core.declare import Task
from hub_core.errors import DataError, IncompatibleError, OptionsError
from hub_core.model import Batch, Encoded
from hub_core.modes import set_modes

# four positions of two dimensions, padded with numbers that would be seen
X = 1e9
RIGHT = [[1.0, -2.0], [3.0, -6.0], [X, X], [X, -X]]
LEFT = [[-X, X], [X, X], [-5.0, 4.0], [-7.0, 2.0]]
BOTH = [[X, X], [0.5, 0.25], [X, -X], [-X, X]]
HIDDEN = torch.tensor([RIGHT, LEFT, BOTH])
MASK = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0]])
POOLED = {
    "first": [[1.0, -2.0], [-5.0, 4.0], [0.5, 0.25]],
    "mean": [[2.0, -4.0], [-6.0, 3.0], [0.5, 0.25]],
    "max": [[3.0, -2.0], [-5.0, 4.0], [0.5, 0.25]],
    "last": [[3.0, -6.0], [-7.0, 2.0], [0.5, 0.25]],
}
LABELS = tuple("abcdefgh")
TASK = Task("main", LABELS)


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return tinymodels.save("bert", tmp_path_factory.mktemp("models") / "bert")


class Width:
    """As much of a backbone as a head reads."""

    def __init__(self, width, pooling="mean"):
        self.layout, self.pooling = self, pooling
        self.hidden = width


def classifier(width=8, backbone_pooling="mean", labels=LABELS, **options):
    task = Task("main", tuple(labels))
    return Classification(ClassificationOptions(**options), task, Width(width, backbone_pooling))


def regressor(scores=(), **options):
    head = Regression(PooledOptions(**options), Task("main"), Width(8))
    if scores:
        head.observe([{"text": "a", "score": score} for score in scores])
    return head


def passing(head):
    """Let the first outputs be the pooled vector itself."""
    with torch.no_grad():
        head.output.weight.copy_(torch.eye(*head.output.weight.shape))
        head.output.bias.zero_()
    return head.eval()


def batch(targets=None):
    return Batch("main", [], {}, targets)


def labels(text):
    return [{"text": "a", "label": letter} for letter in text]


def guesses(text):
    return [{"label": letter, "probability": 0.8} for letter in text]


def scores(values):
    return [{"score": value} for value in values]


@pytest.fixture
def strict():
    """Every warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# -- pooling


@pytest.mark.parametrize("kind", [torch.int64, torch.float32, torch.bool])
@pytest.mark.parametrize("name", POOLED)
def test_poolings_give_the_numbers_computed_by_hand_wherever_the_padding_is(name, kind):
    assert POOLINGS[name](HIDDEN, MASK.to(kind)).tolist() == POOLED[name]


def test_there_is_no_pooling_without_a_number_by_hand():
    assert set(POOLINGS) == set(POOLED)


@pytest.mark.parametrize("name", POOLED)
def test_a_head_pools_as_its_option_says(name):
    head = passing(classifier(2, "last" if name != "last" else "first", pooling=name))
    found = head(Encoded(HIDDEN, MASK), batch())
    assert found[:, :2].tolist() == POOLED[name]


@pytest.mark.parametrize("name", POOLED)
def test_auto_pools_as_suits_the_backbone(name):
    head = passing(classifier(2, name))
    assert head(Encoded(HIDDEN, MASK), batch())[:, :2].tolist() == POOLED[name]


def test_an_artifact_pools_as_it_was_trained_whatever_the_backbone_says_later(
    tmp_path, monkeypatch
):
    result = hub_core.train(
        toydata.recipe(strategies=["head-only"]),
        toydata.labelled(24),
        out=tmp_path / "out",
        prove=False,
    )
    texts = ["it was very fine", "cold the day"]
    expected = result.predictor.predict(texts)
    monkeypatch.setattr(ToyEncoder, "pooling", "last")
    assert hub_core.load(tmp_path / "out").predict(texts) == expected
    other = hub_core.train(toydata.recipe(strategies=["head-only"]), toydata.labelled(24))
    assert other.predictor.predict(texts) != expected


def test_an_unknown_pooling_is_refused():
    with pytest.raises(OptionsError) as caught:
        quick.build(
            toydata.recipe(
                head={"name": "classification", "pooling": "sum"}, strategies=["head-only"]
            )
        )
    assert caught.value.message == (
        "head classification: these options do not fit:\n"
        "  - pooling = 'sum': input should be 'auto', 'first', 'mean', 'max', 'last' or "
        "'pooler'"
    )


def test_the_numbers_of_poolings_that_artifacts_hold_never_change():
    assert dict(enumerate(NAMES)) == {0: "first", 1: "mean", 2: "max", 3: "last", 4: "pooler"}


@pytest.mark.parametrize("pooling", ["auto", "pooler"])
def test_a_head_takes_what_the_backbone_s_own_pooling_layer_gives(bert, pooling):
    head = {"name": "classification", "pooling": pooling}
    values = tinymodels.recipe(bert, options={"pooling": "pooler"}, head=head)
    model = quick.build(values).model
    own, given = model.head("main"), torch.full((3, tinymodels.HIDDEN), 0.5)
    hidden = torch.zeros(3, 4, tinymodels.HIDDEN)
    assert torch.equal(own.vector(Encoded(hidden, MASK, given.half()), batch()), given)
    assert own.facts() == {"pooling": "pooler"}


def test_a_head_pools_itself_over_a_backbone_with_a_pooling_layer_if_it_says_so(bert):
    head = {"name": "classification", "pooling": "max"}
    values = tinymodels.recipe(bert, options={"pooling": "pooler"}, head=head)
    assert quick.build(values).model.head("main").facts() == {"pooling": "max"}


def test_the_pooler_is_refused_where_the_backbone_has_loaded_none(bert):
    head = {"name": "classification", "pooling": "pooler"}
    with pytest.raises(IncompatibleError) as caught:
        quick.build(tinymodels.recipe(bert, head=head))
    assert caught.value.message == (
        "these do not compose:\n  - head classification of task main needs 'pooler' (pools by a "
        "layer of its own that comes with the weights), which backbone transformers does not give"
    )


# -- the layer over it


def test_scores_are_float32_under_autocast_and_from_half_precision():
    head = classifier(2).eval()
    hidden = HIDDEN.bfloat16()
    expected = head(Encoded(hidden.float(), MASK), batch())
    with torch.autocast("cpu", torch.bfloat16):
        found = head(Encoded(hidden, MASK), batch())
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_a_new_head_prefers_no_label():
    torch.manual_seed(3)
    head = classifier(500)
    assert head.output.bias.tolist() == [0.0] * 8
    assert head.output.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_dropout_drops_and_scales_in_training_only():
    head = passing(classifier(dropout=0.25))
    hidden = torch.rand(200, 1, 8) + 1
    encoded = Encoded(hidden, torch.ones(200, 1))
    assert torch.equal(head(encoded, batch()), hidden[:, 0])
    torch.manual_seed(0)
    found = head.train()(encoded, batch())
    dropped = found == 0
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.04)
    torch.testing.assert_close(found[~dropped], hidden[:, 0][~dropped] / 0.75)


def test_dropout_is_off_while_the_head_is_frozen():
    built = quick.build(toydata.recipe(strategies=["encoder-only"])).built
    head = built.model.head("main")
    set_modes(built.model, built.model.head_parameters(), built.base)
    assert head.dropout.training
    set_modes(built.model, built.model.body_parameters(), built.base)
    assert not head.dropout.training


# -- classification


def test_cross_entropy_is_torch_s_for_each_row():
    torch.manual_seed(1)
    values, targets = torch.randn(5, 8), torch.tensor([0, 7, 3, 3, 1])
    found = classifier().loss(values, batch(targets))
    assert found.shape == (5,)
    torch.testing.assert_close(found, torch.nn.CrossEntropyLoss(reduction="none")(values, targets))


def test_cross_entropy_of_a_small_example_is_the_one_by_hand():
    head = classifier(labels="ab")
    values = torch.tensor([[0.0, math.log(3)], [2.0, 2.0]])
    found = head.loss(values, batch(torch.tensor([0, 1])))
    assert found.tolist() == pytest.approx([math.log(4), math.log(2)])


def test_a_prediction_names_the_best_label_and_every_probability():
    head = classifier(labels=("no", "yes", "perhaps"))
    [found] = head.predict([torch.tensor([0.0, math.log(6), 0.0])], [])
    assert found["label"] == "yes"
    assert found["probability"] == found["probabilities"]["yes"] == pytest.approx(0.75)
    assert found["probabilities"] == pytest.approx({"no": 0.125, "yes": 0.75, "perhaps": 0.125})
    assert list(found["probabilities"]) == ["no", "yes", "perhaps"]


def test_targets_are_the_labels_numbers_and_absent_without_labels(bert):
    quickly = quick.build(tinymodels.recipe(bert, strategies=["head-only"]), labels=("no", "yes"))
    head, backbone = quickly.model.head("main"), quickly.backbone
    rows = head.features(
        [{"text": "fine", "label": "yes"}, {"text": "it", "label": "no"}], backbone
    )
    assert head.collate(rows, backbone).targets.tolist() == [1, 0]
    rows = head.features([{"text": "fine", "label": "yes"}, {"text": "it"}], backbone)
    assert head.collate(rows, backbone).targets is None


@pytest.mark.parametrize(
    ("truth", "guess"),
    [("aabc", "abbc"), ("abcabc", "abcacb"), ("aab", "aac"), ("ab", "ba"), ("aab", "aaa")],
)
def test_metrics_of_labels_are_scikit_learn_s(truth, guess, strict):
    truths, answers = list(truth), list(guess)
    assert classifier().metrics(guesses(guess), labels(truth)) == {
        "accuracy": pytest.approx(accuracy_score(truths, answers)),
        "macro_f1": pytest.approx(f1_score(truths, answers, average="macro", zero_division=0)),
        "matthews": pytest.approx(matthews_corrcoef(truths, answers)),
        "calibration_error": pytest.approx(abs(0.8 - accuracy_score(truths, answers))),
    }


def test_metrics_of_a_small_example_are_those_by_hand(strict):
    """F1 of a and b is 2/3, of c 1; Matthews is (3·4 - (2·1 + 1·2 + 1·1)) / 10."""
    found = classifier().metrics(guesses("abbc"), labels("aabc"))
    assert found == {
        "accuracy": 0.75,
        "macro_f1": pytest.approx(7 / 9),
        "matthews": pytest.approx((3 * 4 - 5) / (16 - 6)),
        "calibration_error": pytest.approx(0.05),
    }


@pytest.mark.parametrize(
    ("truth", "guess", "accuracy"), [("aab", "aaa", 2 / 3), ("aaa", "aba", 2 / 3), ("aa", "aa", 1)]
)
def test_constant_labels_have_correlation_0_and_no_warning(truth, guess, accuracy, strict):
    found = classifier().metrics(guesses(guess), labels(truth))
    assert found["matthews"] == 0.0
    assert found["accuracy"] == pytest.approx(accuracy)


def test_data_with_one_label_are_refused():
    rows = [{"text": row["text"], "label": "good"} for row in toydata.labelled(8)]
    with pytest.raises(DataError) as caught:
        hub_core.train(toydata.recipe(strategies=["head-only"]), rows)
    assert caught.value.message == (
        "task main: the data have only the label 'good', classification needs two or more"
    )
    assert caught.value.hint == ("check the label column, or use the head regression for numbers")


def test_data_without_a_label_are_refused():
    with pytest.raises(DataError) as caught:
        Classification.plan(ClassificationOptions(), Task("mood"))
    assert caught.value.message == (
        "task mood: the data have no label, classification needs two or more"
    )


# -- pairs


@pytest.mark.parametrize("head", ["classification", "regression"])
def test_a_pair_reaches_the_model_as_its_tokenizer_makes_it(bert, head):
    quickly = quick.build(tinymodels.recipe(bert, head=head, strategies=["head-only"]))
    examples = [
        {"text": "a fine day", "pair": "it was"},
        {"text": "sour", "pair": "day " * 99},
    ]
    rows = quickly.model.head("main").features(examples, quickly.backbone)
    expected = tinymodels.tokenizer("bert")("a fine day", "it was")
    assert list(rows[0].inputs["input_ids"]) == expected["input_ids"]
    assert list(rows[0].inputs["token_type_ids"]) == expected["token_type_ids"]
    assert [row.truncated for row in rows] == [False, True]
    assert [(row.index, row.example) for row in rows] == list(enumerate(examples))


@pytest.mark.parametrize("second", ["pair", "sentence2", "hypothesis", "question2", "text2"])
def test_the_second_text_is_found_under_its_usual_names_and_counts(second):
    rows = [
        {"sentence1": "it", second: row["text"], "label": row["label"]}
        for row in toydata.labelled(24)
    ]
    result = hub_core.train(toydata.recipe(strategies=["head-only"], epochs=1), rows)
    fine, sour = result.predictor.predict(
        [{"text": "it", "pair": "fine"}, {"text": "it", "pair": "sour"}]
    )
    assert fine != sour
    assert result.predictor.task().columns["pair"] == second


# -- regression


def test_the_scale_is_mean_and_deviation_of_the_training_targets():
    head = regressor([1.0, 2.0, 3.0, 6.0])  # squares from 3: 4 + 1 + 0 + 9
    assert head.scale.tolist() == pytest.approx([3.0, math.sqrt(14 / 4)])


def test_a_regression_s_loss_is_the_squared_error_on_scaled_targets():
    head = regressor([10.0, 30.0])  # mean 20, deviation 10
    found = head.loss(torch.tensor([[0.0], [2.0], [-1.0]]), batch(torch.tensor([25.0, 30.0, 10.0])))
    assert found.tolist() == pytest.approx([0.25, 1.0, 0.0])


def test_scaling_there_and_back_gives_the_targets():
    targets = torch.tensor([-3.0, 0.5, 2.25, 100.0])
    head = regressor(targets.tolist())
    scaled = (targets - head.scale[0]) / head.scale[1]
    assert head.loss(scaled[:, None], batch(targets)).tolist() == [0.0] * 4
    found = head.predict(list(scaled[:, None]), [])
    assert [one["score"] for one in found] == pytest.approx(targets.tolist(), rel=1e-5)


def test_a_new_regression_predicts_the_training_mean_whatever_the_unit():
    head = regressor([1e5, 3e5])
    [found] = head.predict([torch.zeros(1)], [])
    assert found["score"] == pytest.approx(2e5)


@pytest.mark.parametrize("score", [0.1, 2.0])
def test_constant_targets_can_be_trained_on(score):
    rows = [{"text": row["text"], "score": score} for row in toydata.scored(24)]
    result = hub_core.train(toydata.recipe(head="regression", strategies=["head-only"]), rows)
    [found] = result.predictor.predict(["fine"])
    assert found["score"] == pytest.approx(score, abs=1e-4)


def test_the_scale_is_saved_and_predicts_without_data(tmp_path):
    train, test = toydata.scored(24), toydata.scored(9, seed=7)
    result = hub_core.train(
        toydata.recipe(head="regression", strategies=["head-only"]),
        {"train": train, "validation": test},
        out=tmp_path / "out",
        prove=False,
    )
    stored = load_file(tmp_path / "out" / "head.main.safetensors")
    targets = torch.tensor([row["score"] for row in train])
    expected = torch.stack([targets.mean(), targets.std(correction=0)])
    torch.testing.assert_close(stored["heads.main.scale"], expected)
    loaded = hub_core.load(tmp_path / "out")
    texts = [row["text"] for row in test]
    assert loaded.predict(texts) == result.predictor.predict(texts)


def test_metrics_of_numbers_are_scipy_s(strict):
    truth, guess = [1.0, 2.0, 3.0, 4.0, 4.0], [1.5, 1.0, 3.0, 9.0, 3.5]
    assert regressor().metrics(scores(guess), scores(truth)) == {
        "pearson": pytest.approx(pearsonr(truth, guess).statistic),
        "spearman": pytest.approx(spearmanr(truth, guess).statistic),
        "rmse": pytest.approx(math.sqrt((0.25 + 1 + 0 + 25 + 0.25) / 5)),
    }


def test_ranks_count_for_spearman_and_distances_for_pearson(strict):
    found = regressor().metrics(scores([1.0, 2.0, 100.0]), scores([1.0, 2.0, 3.0]))
    assert found["spearman"] == pytest.approx(1.0)
    # deviations -1, 0, 1 and -100/3, -97/3, 197/3
    assert found["pearson"] == pytest.approx(99 / math.sqrt(2 * (100**2 + 97**2 + 197**2) / 9))


@pytest.mark.parametrize(
    ("truth", "guess"),
    [([1, 2, 3], [7, 7, 7]), ([5, 5, 5], [1, 2, 3]), ([5, 5], [5, 5]), ([4], [4]), ([4], [5])],
)
def test_constant_numbers_have_correlation_0_and_no_warning(truth, guess, strict):
    found = regressor().metrics(scores(guess), scores(truth))
    assert (found["pearson"], found["spearman"]) == (0.0, 0.0)
    error = [(a - b) ** 2 for a, b in zip(truth, guess, strict=True)]
    assert found["rmse"] == pytest.approx(math.sqrt(sum(error) / len(error)))


def test_nearly_constant_numbers_give_no_warning(strict):
    found = regressor().metrics(scores([1e6, 1e6 + 1e-9]), scores([1.0, 2.0]))
    assert all(math.isfinite(value) for value in found.values())


def test_a_regression_s_rows_have_their_numbers_as_targets(bert):
    quickly = quick.build(tinymodels.recipe(bert, head="regression", strategies=["head-only"]))
    head, backbone = quickly.model.head("main"), quickly.backbone
    rows = head.features([{"text": "fine", "score": 2}, {"text": "it", "score": -0.5}], backbone)
    assert head.collate(rows, backbone).targets.tolist() == [2.0, -0.5]
    assert head.collate(head.features([{"text": "it"}], backbone), backbone).targets is None
