"""What is left of a part when training is over: its state, plain modules, outputs, figures."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hub_core.errors import IncompatibleError
from hub_core.model import tensors_of
from hub_core.state import join, split
from hub_core.testing.expecting import expect, some
from hub_core.testing.rehearsal import Rehearsal, hooks_of
from hub_core.testing.surroundings import OTHER_SEED
from hub_core.testing.trial import STRATEGIES, Trial
from hub_core.training import fill

SAME = 1e-4
"""Largest difference that exact steps may make by rounding, as a share of the outputs' scale."""


def closes(trial: Trial) -> None:
    """Check that state and trained tensors are all that the served model is made of.

    Raises:
        ConformanceError: New parts that are given both make another model.
    """
    first = trial.rehearse()
    trained = first.finish(first.train())
    states = first.built.part_states()
    second = trial.rehearse(trial.recipe(seed=OTHER_SEED), [_written(state) for state in states])
    there = {name: t.shape for name, t in tensors_of(second.model).items()}
    wrong = [n for n, t in trained.delta.items() if there.get(n) != t.shape]
    wrong += [name for name in second.built.delta(()) if name not in trained.delta]
    expect(not wrong, f"with the same state, new parts build other tensors: {some(wrong)}")
    fill(second.model, trained.delta)
    second.built.finalize()
    one, two = tensors_of(first.model), tensors_of(second.model)
    expect(one.keys() == two.keys(), f"new parts leave other tensors: {some(one.keys() ^ two)}")
    wrong = [name for name, tensor in one.items() if not torch.equal(tensor, two[name])]
    expect(
        not wrong,
        f"with the same state and tensors, new parts make another model: {some(wrong)}; every "
        "decision belongs into state_dict, and load_state_dict takes it back before reshape",
    )
    expect(
        torch.equal(first.outputs(), second.outputs()),
        "with the same state and tensors, new parts give other outputs: some decision is neither "
        "in state_dict nor in a tensor of the model",
    )
    same = json.dumps(_plain(second.built.part_states())) == json.dumps(_plain(states))
    expect(same, "state_dict gives something else after load_state_dict")


def _written(state: Mapping[str, Any]) -> Any:
    """Return a state as it comes back from an artifact's files."""
    tensors: dict[str, Tensor] = {}
    return join(json.loads(json.dumps(split(state, tensors))), tensors)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def plain(trial: Trial) -> None:
    """Check that ``finalize`` leaves modules and tensors that anything can read.

    Raises:
        ConformanceError: A parametrization, a hook or a tensor of a special kind is left.
    """
    run = trial.rehearse()
    run.train()
    for part, ctx in zip(run.built.parts, run.built.contexts, strict=True):
        with torch.no_grad():
            part.finalize(run.model, ctx)
    left = [name for name, m in run.model.named_modules() if parametrize.is_parametrized(m)]
    expect(not left, f"finalize leaves parametrizations on {some(left)}: bake them")
    hooks = [name for hook, name in hooks_of(run.model).items() if hook not in run.hooks]
    expect(not hooks, f"finalize leaves hooks on {some(hooks)}")
    special = [
        name
        for name, tensor in tensors_of(run.model).items()
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided
    ]
    expect(not special, f"finalize leaves tensors of a special kind: {some(special)}")
    run.model.requires_grad_(False)
    expected, other = run.outputs(), copy.deepcopy(run.model)
    run.built.model = other
    expect(
        torch.equal(expected, run.outputs()),
        "a copy of the finished model gives other outputs: something is outside of its modules",
    )


def keeps_outputs(trial: Trial) -> None:
    """Check that ``finalize`` of a strategy changes nothing that is served.

    Raises:
        ConformanceError: The outputs are others.
    """
    changed = change(trial.rehearse())
    expect(
        changed <= SAME,
        f"finalize changes the outputs by {changed:.1e} of their scale; a strategy serves what it "
        "trained",
    )


def bakes(trial: Trial) -> bool:
    """Check that what was added can be folded in, or says that it cannot.

    Returns:
        Whether all of it can.

    Raises:
        ConformanceError: Folding changes the outputs.
    """
    run = trial.rehearse()
    run.finish(run.train())
    before = run.outputs()
    folded = True
    for path, _ in list(run.model.linears()):
        try:
            run.model.bake(path)
        except IncompatibleError:
            folded = False
    changed = relative(before, run.outputs())
    expect(changed <= SAME, f"folding it in changes the outputs by {changed:.1e} of their scale")
    return folded


def within_tolerance(trial: Trial) -> float:
    """Check that a compressor changes the outputs by no more than it says; return by how much.

    Raises:
        ConformanceError: It changes more.
    """
    changed, most = change(trial.rehearse()), trial.terms.tolerance
    expect(
        changed <= most,
        f"finalize changes the outputs by {changed:.2g} of their scale, tolerated is {most:.2g}",
    )
    return changed


def change(run: Rehearsal) -> float:
    """Train and return by how much ``finalize`` changes the outputs, as a share of their scale."""
    loop = run.train()
    before = run.outputs()
    run.finish(loop)
    return relative(before, run.outputs())


def relative(before: Tensor, after: Tensor) -> float:
    """Return the largest difference as a share of the outputs' scale."""
    if before.shape != after.shape:
        return math.inf
    return float((before - after).abs().max() / before.abs().max().clamp_min(1e-6))


def true_figures(trial: Trial) -> None:
    """Check what a compressor reports against the finished model.

    Raises:
        ConformanceError: A figure is no number, or not so.
    """
    run = trial.rehearse()
    run.finish(run.train())
    reported = {k: v for part in run.built.parts for k, v in part.report(run.model).items()}
    odd = [f"{k} = {v!r}" for k, v in reported.items() if not _is_number(v)]
    expect(not odd, f"these figures are no numbers: {some(odd)}")
    _true_bytes(trial, run, reported)
    for name, measured in trial.terms.figures.items():
        expect(name in reported, f"it reports no figure {name}")
        found = measured(run.model)
        expect(
            math.isclose(reported[name], found, rel_tol=1e-6, abs_tol=1e-6),
            f"it reports {name} = {reported[name]:g}, measured is {found:g}",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _true_bytes(trial: Trial, run: Rehearsal, reported: Mapping[str, float]) -> None:
    if not {"bytes_before", "bytes_after"} <= reported.keys():
        return
    whole = trial.rehearse({**trial.recipe(), "strategies": [STRATEGIES[0]], "compressors": []})
    saved = bytes_of(whole.model) - bytes_of(run.model)
    told = reported["bytes_before"] - reported["bytes_after"]
    expect(
        told == saved,
        f"it reports that {told:g} bytes are saved, the finished model is smaller by {saved:g}",
    )


def bytes_of(model: nn.Module) -> int:
    """Return the bytes of a model's parameters and persistent buffers."""
    return sum(tensor.nbytes for tensor in tensors_of(model).values())
