"""R-Drop: nothing without dropout, and the paper's loss with it."""

import tinymodels
import torch
import toydata
from regularized import batch_of, built, losses_of, rehearsed, same, trained, weights_of
from torch.nn import functional as F

NO_DROPOUT = {"name": "classification", "dropout": 0.0}


def test_without_dropout_it_adds_nothing():
    model, [_, part] = built("full", "r-drop", head=NO_DROPOUT)
    batch = batch_of(model.train(), toydata.labelled(8))
    plain = losses_of(model, batch)
    losses = losses_of(model, batch, part)
    assert losses.terms["r-drop"] == 0
    assert torch.equal(losses.total(), plain.total())


def test_without_dropout_the_run_is_the_plain_one():
    plain, with_it = (
        rehearsed(*names, head=NO_DROPOUT) for names in (["full"], ["full", "r-drop"])
    )
    trained(plain)
    trained(with_it)
    assert same(weights_of(plain.model), weights_of(with_it.model))


def test_with_dropout_it_is_the_mean_loss_and_half_of_both_divergences(tmp_path):
    folder = tinymodels.save("bert", tmp_path / "bert")
    backbone = {"name": "transformers", "model": str(folder)}
    model, [_, part] = built("full", {"name": "r-drop", "weight": 5}, backbone=backbone)
    batch = batch_of(model.train(), toydata.labelled(8))
    torch.manual_seed(3)
    losses = losses_of(model, batch, part)
    torch.manual_seed(3)
    one, two = model(batch).scores, model(batch).scores
    assert not torch.equal(one, two)
    task = (F.cross_entropy(one, batch.targets) + F.cross_entropy(two, batch.targets)) / 2
    p, q = one.log_softmax(1), two.log_softmax(1)
    both = F.kl_div(p, q, log_target=True, reduction="batchmean") + F.kl_div(
        q, p, log_target=True, reduction="batchmean"
    )
    assert torch.allclose(losses.terms["task"], task)
    assert torch.allclose(losses.terms["r-drop"], both / 2, atol=1e-6)
    assert losses.weights == {"task": 1.0, "r-drop": 5.0}


def test_of_a_number_it_is_half_the_squared_difference():
    model, [_, part] = built("full", "r-drop", head="regression", labels=())
    batch = batch_of(model.train(), toydata.scored(8))
    torch.manual_seed(3)
    losses = losses_of(model, batch, part)
    torch.manual_seed(3)
    one, two = model(batch).scores, model(batch).scores
    assert losses.terms["r-drop"] > 0
    assert torch.allclose(losses.terms["r-drop"], (one - two).square().mean() / 2)


def test_it_leaves_the_weight_that_others_gave_the_task():
    class Halved:
        def on_loss(self, model, batch, output, losses, clock):
            losses.scale("task", 0.5)

    model, [_, part] = built("full", "r-drop")
    batch = batch_of(model, toydata.labelled(8))
    for parts in ([Halved(), part], [part, Halved()]):
        assert losses_of(model, batch, *parts).weights == {"task": 0.5, "r-drop": 1.0}
