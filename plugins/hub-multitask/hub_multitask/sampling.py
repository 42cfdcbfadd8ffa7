"""Which task comes next: drawn from the seed and the clock alone, so it can be asked any time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from hub_core.declare import Clock


def exponent(sampling: str, clock: Clock) -> float:
    """Return alpha in p_k ∝ N_k^alpha; annealed from 1 to 0.2 (Stickland and Murray, 2019)."""
    if sampling == "annealed":
        return 1 - 0.8 * clock.epoch / max(1, clock.epochs - 1)
    return {"proportional": 1.0, "square-root": 0.5}[sampling]


def chances(
    sampling: str, sizes: Mapping[str, int], shares: Mapping[str, float], clock: Clock
) -> dict[str, float]:
    """Return each task's probability of being next.

    Args:
        sampling: How it is found.
        sizes: Task to number of training examples N.
        shares: Task to share, for explicit sampling.
        clock: When.
    """
    if sampling == "explicit":
        weights = {task: shares.get(task, 0.0) for task in sizes}
    else:
        alpha = exponent(sampling, clock)
        weights = {task: size**alpha for task, size in sizes.items()}
    whole = sum(weights.values())
    return {task: weight / whole for task, weight in weights.items()}


def drawn(chance: Mapping[str, float], count: int, generator: random.Random) -> list[str]:
    """Return ``count`` different tasks, drawn one after another, in their usual order."""
    left = dict(chance)
    while len(left) > len(chance) - count:
        names = list(left)
        some = any(left.values())  # what has a share of 0 comes last
        [task] = generator.choices(names, list(left.values()) if some else None)
        del left[task]
    return [task for task in chance if task not in left]


def generator_at(seed: int, clock: Clock, *what: str) -> random.Random:
    """Return random numbers of a step of training, the same whenever they are asked for."""
    return random.Random(repr((seed, clock.stage, clock.step, *what)))


def order_of(count: int, generator: random.Random) -> Sequence[int]:
    """Return 0 to ``count`` - 1 in random order."""
    return generator.sample(range(count), count)
