"""Models, batches and watched runs for the tests of this plugin."""

import quick
import torch
import toydata

from hub_core.catalog import installed
from hub_core.declare import Clock
from hub_core.model import Output
from hub_core.part import Losses
from hub_core.testing.rehearsal import rehearse

CLOCK = Clock(0, 4, 0, 1)


def recipe(*strategies, **settings):
    """A recipe that splits nothing off, so that no best epoch is restored."""
    values = toydata.recipe(strategies=strategies, **settings)
    values["tasks"]["main"] |= {"validation": 0, "test": 0}
    return values


def built(*strategies, head="classification", labels=quick.LABELS, **settings):
    """Return the model and its parts, not trained."""
    found = quick.build(recipe(*strategies, head=head, **settings), labels).built
    return found.model, found.parts


def batch_of(model, examples, task="main"):
    head = model.head(task)
    rows = head.features(examples, model.backbone)
    return head.collate(rows, model.backbone)


def losses_of(model, batch, *parts, clock=CLOCK):
    """Return the terms of a batch's loss, after all parts have had their say."""
    output = model(batch)
    losses = Losses()
    losses.add("task", model.head(batch.task).loss(output.scores, batch).mean())
    for part in parts:
        part.on_loss(model, batch, Output(output.encoded, output.scores), losses, clock)
    return losses


def rehearsed(*strategies, count=24, **settings):
    """Return a run that can be looked at step by step."""
    values = recipe(*strategies, **settings)
    data = {"main": {"train": toydata.labelled(count), "validation": toydata.labelled(8, 7)}}
    return rehearse(values, data, installed())


def weights_of(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def trained(run, *, validated=False):
    """Train and return the weights after each step, and the loop."""
    after = []
    loop = run.loop(validated=validated)
    loop.report = lambda event, _: after.append(weights_of(run.model)) if event == "step" else None
    loop.run()
    return after, loop


def same(one, two):
    """Whether two sets of weights are the same to the bit."""
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
