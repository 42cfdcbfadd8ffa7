"""SetFit: pairs of the same label come together, and the head is a logistic regression."""

import pytest
import torch
import toydata
from regularized import batch_of, built, rehearsed, trained
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from hub_core.declare import Task
from hub_core.errors import DataError, IncompatibleError
from hub_core.part import Context
from hub_regularize.fitting import fit_output
from hub_regularize.setfit import pair_loss

HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
EXAMPLES = toydata.labelled(24)


def setfit(**options):
    return {"name": "setfit", "iterations": 4, **options}


def vectors(model, examples=EXAMPLES):
    model.eval()
    batch = batch_of(model, examples)
    with torch.no_grad():
        return model.head("main").vector(model.encode(batch), batch)


def similarities(model):
    """Return the mean cosine similarity of pairs with the same label, and of the others."""
    unit = F.normalize(vectors(model), dim=1)
    labels = torch.tensor([example["label"] == "good" for example in EXAMPLES])
    cosines, same = unit @ unit.T, labels[:, None] == labels
    others = ~torch.eye(len(labels), dtype=torch.bool)
    return float(cosines[same & others].mean()), float(cosines[~same].mean())


def test_the_loss_is_how_far_cosines_are_from_one_and_zero():
    vectors = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])
    labels = torch.tensor([0, 0, 1])
    same, different = (1 - 0.6) ** 2, (0.0**2 + 0.8**2) / 2
    assert float(pair_loss(vectors, labels)) == pytest.approx((same + different) / 2)


def test_training_moves_pairs_of_the_same_label_together_and_others_apart():
    run = rehearsed(setfit(), learning_rate=3e-3, epochs=4)
    before = similarities(run.model)
    trained(run)
    after = similarities(run.model)
    assert after[0] > before[0] + 0.1
    assert after[0] - after[1] > before[0] - before[1] + 0.3


def test_the_head_is_scikit_learns_logistic_regression():
    examples = toydata.topics(30)
    model, _ = built(setfit(), labels=("day", "film", "none"))
    batches = [batch_of(model, examples[:10]), batch_of(model, examples[10:])]
    model.eval()
    found = vectors(model, examples)
    fit_output(model.head("main"), model, batches, penalty=0.5)
    scores = model.head("main").output(found).detach()
    scale = found.square().sum(1).mean().sqrt()
    numbers = torch.cat([batch.targets for batch in batches]).numpy()
    expected = LogisticRegression(C=2, tol=1e-8, max_iter=1000).fit(found / scale, numbers)
    likely = torch.tensor(expected.predict_proba(found / scale))
    assert torch.allclose(scores.softmax(1).double(), likely, atol=2e-3)


def test_the_head_is_fitted_when_the_encoder_stops_and_goes_on_from_there():
    run = rehearsed(setfit(head_learning_rate=1e-9), learning_rate=1e-3)
    trained(run)
    served = run.model.head("main").output.weight.detach().clone()
    fit_output(run.model.head("main"), run.model.eval(), [batch_of(run.model, EXAMPLES)], 1.0)
    fresh = rehearsed(setfit()).model.head("main").output.weight
    assert not torch.allclose(served, fresh, atol=1e-2)
    assert torch.allclose(served, run.model.head("main").output.weight, atol=1e-3)


def test_the_encoder_trains_on_pairs_then_the_head_alone():
    run = rehearsed(setfit(), epochs=4)
    plan = run.loop().plan
    assert [stage.name for stage in plan.stages] == ["contrast", "head"]
    assert plan.epochs == (3, 1)
    contrast, head = plan.changes.values()
    assert contrast == run.model.body_parameters()
    assert head == run.model.head_parameters()


def test_only_a_model_with_its_head_can_be_the_best():
    run = rehearsed(setfit(), epochs=4)
    _, loop = trained(run, validated=True)
    assert loop.progress.best.epoch == 3


@pytest.mark.parametrize("epochs", [2, 3])
def test_sixteen_examples_make_as_many_rows_as_the_iterations_say(epochs):
    run = rehearsed(setfit(iterations=20), count=16, epochs=epochs)
    assert len(run.rows["main"]) == 320
    assert run.loop().plan.steps >= 320 // run.settings.batch_examples * epochs


@pytest.mark.parametrize("turn", [1, -1])
def test_beside_lora_only_the_adapters_train_on_pairs(turn):
    run = rehearsed(*["lora", setfit()][::turn])
    contrast, head = run.loop().plan.changes.values()
    names = {run.built.names[parameter] for parameter in contrast}
    assert names
    assert all(".lora_" in name for name in names)
    assert {run.built.names[parameter] for parameter in head} == HEAD


def test_examples_of_one_label_only_are_refused():
    _, [part] = built(setfit())
    with pytest.raises(DataError) as caught:
        part.examples(EXAMPLES[::2], Task("main", ("bad", "good")), Context())
    assert caught.value.message == (
        "task main: all training examples have the label 'good', and setfit needs pairs of "
        "different labels"
    )
    assert caught.value.hint == "add examples of another label"


@pytest.mark.parametrize("head", ["regression", "multi-label"])
def test_a_task_without_a_single_label_is_refused(head):
    with pytest.raises(IncompatibleError) as caught:
        built(setfit(), head=head)
    assert caught.value.message == (
        "these do not compose:\n  - strategy setfit needs 'one-label' (the head predicts one "
        "label per example), but nothing here gives it"
    )


def test_other_stages_are_refused():
    with pytest.raises(IncompatibleError) as caught:
        built("encoder-only", setfit())
    assert caught.value.message == (
        "these do not compose:\n  - strategy setfit needs 'free-stages' (no part has brought its "
        "own training stages), but strategy encoder-only has taken it away"
    )
