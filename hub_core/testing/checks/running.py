"""Whole runs: they repeat, they learn, they resume, and what they save loads anywhere."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from hub_core.proof import TOLERANCE
from hub_core.testing.expecting import expect, some
from hub_core.testing.trial import Interrupted, Outcome, Trial, as_list

LEARNED = 0.98
"""Share of the loss that may be left after training on the toy task."""
LONGER = 4
"""Epochs of that training, as a multiple of the usual ones: rates are made for larger models."""


def repeats(trial: Trial) -> None:
    """Check that the recipe's seed decides everything.

    Raises:
        ConformanceError: A second run gives other bits.
    """
    first = _folder(trial)
    torch.manual_seed(31337)
    random.seed(31337)
    trial.train("again")
    found = list(differences(first, trial.folder / "again"))
    expect(
        not found,
        f"a second run with the same seed gives something else: {some(found)}; "
        "draw from ctx.generator or torch, which are seeded, and never loop over a set",
    )


def learns(trial: Trial) -> None:
    """Check that training lowers the loss on a task that is easy to learn.

    Raises:
        ConformanceError: It does not.
    """
    recipe = trial.recipe()
    recipe["training"]["epochs"] *= LONGER
    run = trial.rehearse(recipe)
    before = run.loss()
    run.loop(validated=False).run()  # or the best model may be that of an early epoch
    after = run.loss()
    expect(
        after < LEARNED * before,
        f"the loss on the toy task was {before:.3f} before training and is {after:.3f} after it; "
        "if the method needs longer or faster training, say so: "
        "training = {'epochs': …, 'learning_rate': …}",
    )


def resumes(trial: Trial) -> None:
    """Check that a run that was broken off goes on to the same bits.

    Raises:
        ConformanceError: It goes on to something else.
    """
    straight, folder = _folder(trial), "resumed"
    recipe = trial.recipe(checkpoint_steps=2)
    middle = {"at": 0}

    def report(event: str, figures: Mapping[str, Any]) -> None:
        if event == "plan":
            middle["at"] = figures["steps"] // 2 | 1  # odd: one step after the last checkpoint
        if event == "step" and figures["step"] == middle["at"]:
            raise Interrupted

    try:
        trial.train(folder, recipe, report=report)
    except Interrupted:
        pass
    else:
        raise AssertionError("the run could not be broken off")
    torch.manual_seed(31337)
    random.seed(31337)
    trial.train(folder, recipe, resume=True)
    found = list(differences(straight, trial.folder / folder))
    expect(
        not found,
        f"a resumed run differs from a straight one: {some(found)}; what changes from step to step "
        "belongs into parameters, buffers, the optimizer or state_dict",
    )


def halves(trial: Trial) -> None:
    """Check that it trains where matrix products are computed in bfloat16.

    Raises:
        TrainingError: The loss is not a number.
    """
    result = trial.train("bfloat16", trial.recipe(epochs=2, precision="bf16"))
    losses = [entry["loss"] for entry in result.history]
    expect(all(loss == loss for loss in losses), f"in bfloat16 the losses are {losses}")


def loads(answer: Mapping[str, Any] | BaseException) -> None:
    """Check what a new process found out about the artifact.

    Raises:
        ConformanceError: It could not load it, or got other outputs.
    """
    if isinstance(answer, BaseException):
        raise answer
    wrong = unlike(answer)
    expect(
        not wrong,
        f"a new process that loads the artifact, without data and with another seed, {wrong}; what "
        "was decided by data, chance or metrics belongs into state_dict or into tensors",
    )


def unlike(answer: Mapping[str, Any]) -> str:
    """Return what a new process found wrong, or an empty text."""
    if "error" in answer:
        return f"fails: {answer['error']}"
    if not answer["difference"] <= TOLERANCE:
        return f"gets outputs that differ by {answer['difference']:.1e} of their scale"
    return "" if answer["same"] else "predicts something else"


def composes(
    company: Mapping[str, Outcome], answers: Mapping[str, Mapping[str, Any] | BaseException]
) -> None:
    """Check that the method works with every toy, or is refused for a tag, in either order.

    Args:
        company: How training went.
        answers: What a new process found out about the artifacts.

    Raises:
        ConformanceError: Something failed, or a refusal does not say which tag is missing.
    """
    wrong = {name: outcome.failed for name, outcome in company.items() if outcome.failed}
    wrong |= {
        name: "the refusal names no tag" for name, o in company.items() if o.refused
        and "needs '" not in o.refused
    }  # fmt: skip
    for name, answer in answers.items():
        text = str(answer) if isinstance(answer, BaseException) else unlike(answer)
        wrong |= {name: f"a new process {text}"} if text else {}
    expect(not wrong, f"it neither composes nor is refused for a tag:{as_list(wrong)}")


def differences(first: Path, second: Path) -> Iterator[str]:
    """Yield what is not the same in two artifacts."""
    one, two = (json.loads((f / "hub.json").read_text("utf-8")) for f in (first, second))
    for file in sorted({*one["files"], *two["files"]}):
        if file.endswith(".safetensors"):
            a, b = (content["files"].get(file, {}).get("sha256") for content in (one, two))
            if a != b:
                yield file
    for a, b in zip(one["methods"], two["methods"], strict=True):
        if a["state"] != b["state"]:
            yield f"the state of {a['name']}"
    for a, b in zip(one["history"], two["history"], strict=True):
        if a != b:
            yield f"epoch {a['epoch']} of the history"


def _folder(trial: Trial) -> Path:
    folder = trial.straight.predictor.folder
    assert folder is not None
    return folder
