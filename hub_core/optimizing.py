"""The optimizer of a run, its groups of parameters, and the learning rate at any time of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import nn

from hub_core.build import Built
from hub_core.declare import Clock, Stage
from hub_core.part import Chosen, ParameterOptions, Part
from hub_core.recipe import Training


def optimizer_of(
    built: Built, ever: Chosen, settings: Training, device: torch.device
) -> torch.optim.Optimizer:
    """Return the optimizer that a part brings, else AdamW, over all that is ever chosen."""
    groups = groups_of(built, ever, settings)
    asked = [p.optimizer(groups, ctx) for p, ctx in zip(built.parts, built.contexts, strict=True)]
    for own in asked:  # all are asked: they see what trains, and at what share of the rate
        if own is not None:
            return own
    return torch.optim.AdamW(groups, lr=0.0, fused=device.type in ("cpu", "cuda"))


def groups_of(built: Built, ever: Chosen, settings: Training) -> list[dict[str, Any]]:
    """Return parameter groups over all that is ever chosen, in the order of the names."""
    own: dict[nn.Parameter, ParameterOptions] = {}
    for part in built.parts:
        for parameter, options in part.optimizer_options(built.model).items():
            own[parameter] = own.get(parameter, ParameterOptions()).then(options)
    named = [(p, name) for p, name in built.names.items() if p in ever]

    def key(item: tuple[nn.Parameter, str]) -> tuple[float, float]:
        options = own.get(item[0], ParameterOptions())
        usual = settings.weight_decay if item[0].ndim > 1 else 0.0
        decay = usual if options.weight_decay is None else options.weight_decay
        return options.scale, decay

    grouped = groupby(sorted(named, key=lambda item: (key(item), item[1])), key=key)
    return [
        {"params": [p for p, _ in items], "scale": scale, "weight_decay": decay, "lr": 0.0}
        for (scale, decay), items in grouped
    ]


def rate_at(parts: Sequence[Part], stage: Stage, clock: Clock, settings: Training) -> float:
    """Return the learning rate at a time, which a group of parameters may scale."""
    return base_rate(parts, stage, settings) * rate_factor(parts, clock, settings)


def base_rate(parts: Sequence[Part], stage: Stage, settings: Training) -> float:
    """Return a stage's base rate: its own, the recipe's, a strategy's, or 1e-3."""
    if stage.learning_rate is not None:
        return stage.learning_rate
    if settings.learning_rate is not None:
        return settings.learning_rate
    hints = (part.learning_rate_hint for part in parts)
    return next((hint for hint in hints if hint is not None), 1e-3)


def rate_factor(parts: Sequence[Part], clock: Clock, settings: Training) -> float:
    """Return the factor on the base rate: schedule or warm-up and decay, times all parts'."""
    own = (part.schedule(clock) for part in parts)
    factor = next((value for value in own if value is not None), None)
    if factor is None:
        warm = math.ceil(settings.warmup * clock.steps)
        rising = (clock.step + 1) / (warm + 1)
        falling = (clock.steps - clock.step) / max(1, clock.steps - warm)
        factor = min(1.0, rising, falling)
    return factor * math.prod(part.learning_rate(clock) for part in parts)
