"""What the head promises: its loss, what it shows, what it learns, and with what it composes."""

import math

import pytest
import quick
import tinymodels
import torch
import toydata
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch.nn import functional as F

import hub_core
from hub_attention.heads import AttentionClassification, overlap
from hub_attention.options import OWN, AttentionOptions
from hub_core.declare import Task
from hub_core.errors import DataError, IncompatibleError, OptionsError
from hub_core.model import Batch, Encoded

NAME = "attention-classification"
LABELS = ("a", "b", "c")
SHOWN = ("self-attention", "additive", "multi-head")


class Width:
    """As much of a backbone as a head reads."""

    def __init__(self, hidden, layers=3):
        self.layout, self.hidden, self.layers = self, hidden, range(layers)


def head(labels=LABELS, width=8, **options):
    torch.manual_seed(0)
    return AttentionClassification(AttentionOptions(**options), Task("main", labels), Width(width))


def encoded(rows=4, positions=6, width=8, layers=0):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(rows, positions, width, generator=generator)
    mask = (torch.arange(positions) < torch.tensor([positions, 3, 2, 5])[:rows, None]).long()
    more = torch.randn(layers, rows, positions, width, generator=generator).unbind(0)
    return Encoded(hidden, mask, layers=tuple(more))


def batch(targets=(0, 1, 2, 0)):
    return Batch("main", [], {}, torch.tensor(targets))


def recipe(strategies=("full",), **options):
    training = {"epochs": options.pop("epochs", 2)} | options.pop("training", {})
    return toydata.recipe(strategies=strategies, head={"name": NAME, **options}, **training)


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return tinymodels.save("bert", tmp_path_factory.mktemp("models") / "bert")


# -- the loss


def test_the_loss_is_cross_entropy_where_overlap_costs_nothing():
    one = head(hops=2).train()
    scores = one(encoded(), batch())
    expected = F.cross_entropy(scores, batch().targets, reduction="none")
    torch.testing.assert_close(one.loss(scores, batch()), expected)


@pytest.mark.parametrize(
    "options", [{"hops": 3}, {"pooling": "multi-head", "heads": 2, "queries": 2}]
)
def test_in_training_each_row_s_loss_has_lin_s_penalty_of_its_own_hops(options):
    one = head(orthogonality=0.5, **options).train()
    scores = one(encoded(), batch())
    plain = F.cross_entropy(scores, batch().targets, reduction="none")
    hops = one.attention(encoded(), batch())
    penalty = [torch.linalg.matrix_norm(a @ a.T - torch.eye(len(a))) ** 2 for a in hops]
    torch.testing.assert_close(one.loss(scores, batch()), plain + 0.5 * torch.stack(penalty))


def test_the_penalty_of_one_hop_and_of_two_alike_are_those_by_hand():
    """A A^T is 1/2 everywhere: (1/2 - 1)^2 for one hop, and twice this and twice 1/4 for two."""
    uniform = torch.full((1, 2, 2), 0.5)
    assert overlap(uniform[:, :1]).tolist() == [0.25]
    assert overlap(uniform).tolist() == [1.0]
    assert overlap(torch.eye(2)[None]).tolist() == [0.0]


def test_what_is_measured_has_no_penalty_whatever_was_trained_before():
    one = head(hops=2, orthogonality=5).train()
    one.loss(one(encoded(), batch()), batch()).sum().backward()
    scores = one.eval()(encoded(), batch())
    expected = F.cross_entropy(scores, batch().targets, reduction="none")
    torch.testing.assert_close(one.loss(scores, batch()), expected)


def test_a_second_forward_pass_with_other_rows_has_its_own_penalty():
    one = head(hops=2, orthogonality=0.5, dropout=0).train()
    whole = one.loss(one(encoded(), batch()), batch())
    first = one(encoded(), batch())
    again = one.loss(first, batch())
    few = one.loss(one(encoded(rows=2), batch((0, 1))), batch((0, 1)))
    torch.testing.assert_close(again, whole)
    torch.testing.assert_close(few, whole[:2])
    (again.mean() + few.mean()).backward()  # both graphs are whole
    assert one.pool.outer.weight.grad.abs().sum() > 0


def test_gradients_of_parts_of_a_batch_add_up_to_those_of_the_whole():
    one = head(hops=2, orthogonality=0.5, dropout=0).train()

    def gradient(parts):
        one.zero_grad()
        for rows in parts:
            part = Encoded(encoded().hidden[rows], encoded().mask[rows])
            targets = batch(batch().targets[rows].tolist())
            one.loss(one(part, targets), targets).sum().backward()
        return one.pool.inner.weight.grad.clone()

    torch.testing.assert_close(gradient([slice(0, 4)]), gradient([slice(0, 1), slice(1, 4)]))


@pytest.mark.parametrize("pooling", OWN)
def test_the_head_computes_in_float32_where_the_backbone_gives_bfloat16(pooling):
    orthogonality = 0.1 if "orthogonality" in OWN[pooling] else 0
    one = head(pooling=pooling, orthogonality=orthogonality, dropout=0, mix=True).train()
    wide = encoded(layers=4)
    half = Encoded(
        wide.hidden.bfloat16(), wide.mask, None, tuple(x.bfloat16() for x in wide.layers)
    )
    same = Encoded(half.hidden.float(), half.mask, None, tuple(x.float() for x in half.layers))
    expected = one(same, batch())
    with torch.autocast("cpu", torch.bfloat16):
        found = one(half, batch())
        loss = one.loss(found, batch())
    assert (found.dtype, loss.dtype) == (torch.float32, torch.float32)
    assert torch.equal(found, expected)


def test_balanced_labels_weigh_the_same_in_all():
    one = head(class_weights="balanced")
    one.observe([{"label": label} for label in "aaaaaabbc"])
    assert one.weights.tolist() == pytest.approx([9 / 18, 9 / 6, 9 / 3])
    scores = torch.zeros(3, 3)
    assert one.loss(scores, batch((0, 1, 2))).tolist() == pytest.approx(
        [math.log(3) * weight for weight in (0.5, 1.5, 3)]
    )


def test_advice_names_the_option_only_where_it_is_not_used():
    assert head().advice({"a": 9, "b": 1}) == (
        'the option class_weights = "balanced" of its head makes rare labels count more'
    )
    assert head(class_weights="balanced").advice({"a": 9, "b": 1}) == ""


# -- what it says of itself


def test_a_strategy_finds_the_linear_layer_s_input_and_what_it_aims_at():
    one = head(hops=2).eval()
    found = one.output(one.vector(encoded(), batch()))
    torch.testing.assert_close(found, one(encoded(), batch()))
    assert one.ideal_scores(batch()).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_facts_say_how_positions_and_layers_are_put_together():
    assert head(hops=2).facts() == {"pooling": "self-attention"}
    assert head(pooling="gem", power=2.5).facts() == {"pooling": "gem", "power": "2.5"}
    assert head(pooling="additive", mix=True).facts() == {
        "pooling": "additive",
        "mix of layers": "0.250 0.250 0.250 0.250, times 1.000",
    }


@pytest.mark.parametrize("pooling", SHOWN)
def test_what_is_shown_is_what_was_attended_to_also_in_a_mixture(pooling):
    one = head(pooling=pooling, mix=True).eval()
    wide = encoded(layers=4)
    expected = one.pool.attention(one.mix(wide.layers), wide.mask)
    assert torch.equal(one.attention(wide, batch()), expected)


def test_metrics_are_scikit_learn_s():
    truth, guess = list("aabbc"), list("abbba")
    found = head().metrics([{"label": g} for g in guess], [{"label": t} for t in truth])
    assert found == {
        "accuracy": pytest.approx(accuracy_score(truth, guess)),
        "macro_f1": pytest.approx(f1_score(truth, guess, average="macro", zero_division=0)),
        "matthews": pytest.approx(matthews_corrcoef(truth, guess)),
    }
    same = [{"label": "a"}] * 2
    assert head().metrics(same, same) == {"accuracy": 1.0, "macro_f1": 1.0, "matthews": 0.0}


def test_a_prediction_names_the_likeliest_label_and_every_probability():
    [found] = head().predict([torch.tensor([0.0, math.log(6), 0.0])], [])
    assert found["label"] == "b"
    assert found["probability"] == found["probabilities"]["b"] == pytest.approx(0.75)
    assert found["probabilities"] == pytest.approx({"a": 0.125, "b": 0.75, "c": 0.125})


# -- what it learns


def attention_on(result, words):
    """Return how much attention texts' deciding words get, and what they would get evenly."""
    found, even = [], []
    model = result.predictor.model
    one = model.head("main")
    for row in toydata.labelled(24, seed=9):
        rows = one.features([row], model.backbone)
        one_batch = one.collate(rows, model.backbone)
        with torch.no_grad():
            weights = one.attention(model.encode(one_batch), one_batch)[0].mean(0)
        cut = row["text"].split()
        found.append(weights[[n for n, word in enumerate(cut) if word in words]].sum().item())
        even.append(1 / len(cut))
    return sum(found) / len(found), sum(even) / len(even)


@pytest.mark.parametrize("pooling", SHOWN)
def test_the_word_that_decides_gets_more_attention_than_others(pooling):
    training = {"learning_rate": 3e-2}
    values = recipe(["head-only"], pooling=pooling, epochs=8, training=training)
    result = hub_core.train(values, toydata.labelled())
    found, even = attention_on(result, toydata.GOOD + toydata.BAD)
    assert found > 1.4 * even


def test_hops_whose_overlap_costs_attend_to_different_words():
    overlaps = []
    for orthogonality in (0, 1):
        result = hub_core.train(
            recipe(hops=3, orthogonality=orthogonality, epochs=6, training={"learning_rate": 3e-3}),
            toydata.labelled(),
        )
        model = result.predictor.model
        one = model.head("main")
        rows = one.features(toydata.labelled(24, seed=9), model.backbone)
        one_batch = one.collate(rows, model.backbone)
        with torch.no_grad():
            overlaps.append(
                overlap(one.attention(model.encode(one_batch), one_batch)).mean().item()
            )
    assert overlaps[1] < 0.7 * overlaps[0]


# -- with what it composes


@pytest.mark.parametrize("strategies", [["full"], ["lora"], ["head-only"]])
@pytest.mark.parametrize(
    "options", [{"hops": 2, "orthogonality": 0.1}, {"pooling": "gem", "mix": True}]
)
def test_it_trains_saves_and_loads_over_a_transformer(bert, tmp_path, strategies, options):
    values = tinymodels.recipe(
        bert, head={"name": NAME, **options}, strategies=strategies, precision="bf16", accumulate=2
    )
    result = hub_core.train(values, toydata.labelled(24), out=tmp_path / "out", prove=False)
    texts = [row["text"] for row in toydata.labelled(8, seed=3)]
    assert hub_core.load(tmp_path / "out").predict(texts) == result.predictor.predict(texts)


def test_a_pair_reaches_the_model_as_one_row(bert):
    quickly = quick.build(tinymodels.recipe(bert, head=NAME, strategies=["head-only"]))
    one, backbone = quickly.model.head("main"), quickly.backbone
    rows = one.features([{"text": "a day", "pair": "it", "label": "good"}], backbone)
    expected = tinymodels.tokenizer("bert")("a day", "it")["input_ids"]
    assert [(list(row.inputs["input_ids"]), row.target) for row in rows] == [(expected, 1)]


# -- what is refused


def refused(**values):
    with pytest.raises(OptionsError) as caught:
        quick.build(recipe(**values))
    return caught.value.message


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"pooling": "gem", "hops": 3}, "hops changes nothing with the pooling gem"),
        ({"pooling": "concat", "power": 4}, "power changes nothing with the pooling concat"),
        (
            {"pooling": "multi-head", "width": 9},
            "width changes nothing with the pooling multi-head",
        ),
        ({"end": "last"}, "end changes nothing with the pooling self-attention"),
        ({"mix_norm": True}, "mix_norm changes nothing without mix"),
    ],
)
def test_an_option_of_another_pooling_is_refused(options, problem):
    assert refused(**options) == (
        f"head {NAME}: these options do not fit:\n  - together: {problem}"
    )


def test_heads_that_cannot_share_the_width_are_refused():
    with pytest.raises(IncompatibleError) as caught:
        head(pooling="multi-head", heads=5)
    assert caught.value.message == (
        "task main: 5 heads cannot share hidden states of width 8 evenly"
    )
    assert caught.value.hint == f"set {NAME}.heads to a divisor of 8, such as 4"


def test_a_mixture_needs_a_backbone_of_numbered_layers():
    with pytest.raises(IncompatibleError) as caught:
        quick.build({**recipe(mix=True), "backbone": "toy-bilstm"})
    assert caught.value.message == (
        f"these do not compose:\n  - head {NAME} of task main needs 'layers' (is a stack of "
        "numbered layers that hand hidden states upwards), which backbone toy-bilstm does not give"
    )


def test_data_with_one_label_are_refused():
    rows = [{"text": row["text"], "label": "good"} for row in toydata.labelled(8)]
    with pytest.raises(DataError) as caught:
        hub_core.train(recipe(), rows)
    assert caught.value.message == (
        f"task main: the data have only the label 'good', {NAME} needs two or more"
    )
    assert caught.value.hint == "check the label column"
