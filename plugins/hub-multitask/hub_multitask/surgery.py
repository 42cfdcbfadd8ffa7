"""Gradient surgery (PCGrad; Yu et al., 2020): no task's gradient goes against another's."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from hub_multitask.sampling import order_of


def projected(gradients: Sequence[Tensor], generator: random.Random) -> Tensor:
    """Return the sum of the gradients, each projected away from those that it conflicts with.

    Algorithm 1: where g_i · g_j < 0, g_i loses g_i · g_j / |g_j|^2 g_j; the g_j come in random
    order and are those before any projection.

    Args:
        gradients: One vector for each task, all of one length.
        generator: Gives the order.
    """
    result = torch.zeros_like(gradients[0])
    for number, gradient in enumerate(gradients):
        own = gradient.clone()
        for other in order_of(len(gradients), generator):
            along = torch.dot(own, gradients[other])
            if other != number and along < 0:
                own -= along / gradients[other].square().sum() * gradients[other]
        result += own
    return result


def cosines(gradients: Sequence[Tensor]) -> list[float]:
    """Return the cosine of every pair; one without a direction counts as 0."""
    units = [g / g.norm().clamp_min(torch.finfo(g.dtype).tiny) for g in gradients]
    return [float(torch.dot(one, other)) for one, other in combinations(units, 2)]


class Surgery:
    """Gathers the gradients of a step's tasks, and puts the projected sum in their place.

    How many batches a step accumulates is not known here. So from the moment on when each task has
    given a batch, the sum is projected anew after every one: what stands there at the end of the
    step is right for any number of them.
    """

    def __init__(self) -> None:
        self.pairs, self.conflicts, self.cosine = 0, 0, 0.0
        self._caught: dict[str, Tensor] = {}
        self._there: Tensor | None = None
        self._seen: list[float] = []

    def catch(
        self, shared: Sequence[nn.Parameter], task: str, count: int, generator: random.Random
    ) -> None:
        """Take what a batch has added to the gradients.

        Args:
            shared: The parameters that tasks share and that train now.
            task: Whose batch it is.
            count: Tasks in a step.
            generator: Gives the order of projecting.
        """
        there = _flat(shared)
        own = there if self._there is None else there - self._there
        self._caught[task] = self._caught[task] + own if task in self._caught else own
        if len(self._caught) == count:
            gradients = list(self._caught.values())
            self._seen = cosines(gradients)
            there = projected(gradients, generator)
            _write(shared, there)
        self._there = there

    def end_step(self) -> None:
        """Count what was seen, and forget the step's gradients."""
        self.pairs += len(self._seen)
        self.conflicts += sum(cosine < 0 for cosine in self._seen)
        self.cosine += sum(self._seen)
        self._caught, self._there, self._seen = {}, None, []

    def report(self) -> dict[str, float]:
        """Return the mean cosine of two tasks' gradients, and the share of pairs in conflict."""
        if not self.pairs:
            return {}
        return {
            "gradient_cosine": self.cosine / self.pairs,
            "gradient_conflicts": self.conflicts / self.pairs,
        }

    def state(self) -> dict[str, Any]:
        """Return what was counted."""
        return {"pairs": self.pairs, "conflicts": self.conflicts, "cosine": self.cosine}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.pairs, self.conflicts = int(state["pairs"]), int(state["conflicts"])
        self.cosine = float(state["cosine"])


def _flat(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the gradients as one vector; what no batch has reached yet has zeros."""
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return torch.cat([gradient.reshape(-1) for gradient in found])


def _write(parameters: Sequence[nn.Parameter], vector: Tensor) -> None:
    """Put a vector in the place of the gradients; what no batch has reached stays without one."""
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        if parameter.grad is not None:
            parameter.grad.copy_(vector[start:end].view_as(parameter))
        start = end
