"""What a part does to the model before and during training."""

from __future__ import annotations

import torch
from torch import Tensor

from hub_core.build import Built
from hub_core.model import Batch, TaskModel
from hub_core.optimizing import rate_factor
from hub_core.testing.expecting import expect, some
from hub_core.testing.rehearsal import Rehearsal
from hub_core.testing.trial import Trial
from hub_core.timeline import Plan, chosen_at

CLOSE = 1e-4
"""Largest difference of vectors that padding may make, as a share of their scale."""


def one_vector(trial: Trial) -> None:
    """Check that the encoder gives one vector for every input position, prepared and served.

    Raises:
        ConformanceError: It gives more or fewer, of another width, or padding changes them.
    """
    run = trial.rehearse()
    encodes(run.model, run.batch(), "after prepare")
    encodes(trial.straight.predictor.model, run.batch(), "when it is served")
    _padded(run)


@torch.no_grad()
def encodes(model: TaskModel, batch: Batch, when: str) -> Tensor:
    """Check the shapes of an encoding and return its vectors (B, T, D)."""
    model.eval()
    shape = next(iter(batch.inputs.values())).shape  # (B, T)
    encoded = model.backbone.encode(batch.inputs)
    wanted = (*shape, model.backbone.layout.hidden)
    expect(
        tuple(encoded.hidden.shape) == wanted,
        f"{when} the encoder gives vectors of shape {tuple(encoded.hidden.shape)}, one for each "
        f"input position is {wanted}: strip what was added to the input",
    )
    expect(
        tuple(encoded.mask.shape) == tuple(shape),
        f"{when} the mask has shape {tuple(encoded.mask.shape)}, the input {tuple(shape)}",
    )
    expect(torch.isfinite(encoded.hidden).all(), f"{when} some of the vectors are not numbers")
    return encoded.hidden


@torch.no_grad()
def _padded(run: Rehearsal) -> None:
    rows = next(iter(run.held.values()))
    together = run.model.backbone.encode(run.batch(rows=rows).inputs)
    scale = together.hidden.abs().max().clamp_min(1e-6)
    for number, row in enumerate(rows):
        alone = run.model.backbone.encode(run.batch(rows=[row]).inputs).hidden[0]
        beside = together.hidden[number][together.mask[number].bool()]
        expect(
            beside.shape == alone.shape and float((beside - alone).abs().max() / scale) <= CLOSE,
            "after prepare a text gets other vectors when a longer one stands beside it: what was "
            "added must not see the padding",
        )


def unselected(trial: Trial) -> None:
    """Check that what is never chosen keeps the checkpoint's bits to the end of training.

    Raises:
        ConformanceError: A parameter was changed that ``select`` never named.
    """
    run = trial.rehearse()
    loop = run.loop()
    ever, names = loop.plan.ever, run.built.names
    before = {p: p.detach().clone() for p in names if p not in ever}
    moved = [
        names[p]
        for p, value in run.loaded.items()
        if p in before and p.shape == value.shape and not torch.equal(p.detach(), value)
    ]
    expect(not moved, f"before training these change although they never train: {some(moved)}")
    loop.run()
    moved = [names[p] for p, value in before.items() if not torch.equal(p.detach(), value)]
    expect(
        not moved,
        f"training changes what select never names: {some(moved)}; it would not be saved",
    )


def pure(trial: Trial) -> None:
    """Check that what trains, and how fast, depends on the clock alone.

    Raises:
        ConformanceError: Asked again, a part answers something else.
    """
    run = trial.rehearse()
    plan = run.loop().plan
    for total in reversed(range(plan.steps)):
        again = chosen_at(run.built, plan.moment(total).clock)
        at = max(step for step in plan.changes if step <= total)
        expect(
            again == plan.changes[at],
            f"select names other parameters for step {total + 1} when it is asked again: it may "
            "depend on the clock and on nothing that changes",
        )
    expect(
        _rates(run.built, run, plan) == _rates(run.built, run, plan),
        "learning_rate or schedule gives another factor when it is asked again",
    )


def _rates(built: Built, run: Rehearsal, plan: Plan) -> list[float]:
    clocks = [plan.moment(total).clock for total in range(plan.steps)]
    return [rate_factor(built.parts, clock, run.settings) for clock in clocks]
