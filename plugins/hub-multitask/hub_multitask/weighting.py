"""What a task's loss weighs: by its uncertainty, or by how fast it has been falling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hub_core.declare import Clock
from hub_core.model import Batch, Encoded, Head, TaskModel, Wrapper
from hub_core.wrapper import chain_of


class Uncertain(Wrapper):
    """A head with the uncertainty of its task (Kendall et al., 2018): log sigma^2, 0 at first.

    Squared errors have the likelihood of a normal distribution, so the loss L becomes
    L / (2 sigma^2) + log sigma; all others L / sigma^2 + log sigma.
    """

    def __init__(self, base_layer: nn.Module, *, gaussian: bool) -> None:
        super().__init__(base_layer)
        self.gaussian = gaussian
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return the head's scores."""
        scores: Tensor = self.base_layer(encoded, batch)
        return scores

    def terms(self) -> tuple[Tensor, Tensor]:
        """Return the factor on the loss, and log sigma."""
        factor = torch.exp(-self.log_variance)
        return (factor / 2 if self.gaussian else factor), self.log_variance / 2

    @property
    def sigma(self) -> float:
        """The standard deviation."""
        return math.exp(float(self.log_variance.detach()) / 2)


def is_gaussian(head: Head) -> bool:
    """Return whether a head predicts numbers, whose loss is a squared error."""
    return any(column.target and column.kind == "score" for column in head.reads(head.options))


def unwrap(model: TaskModel, task: str, wrapper: nn.Module) -> None:
    """Take a wrapper out of the chain around a task's head."""
    chain = chain_of(model.heads[task])
    place = chain.index(wrapper)
    if place == 0:
        model.heads[task] = chain[1]
    else:
        chain[place - 1].base_layer = chain[1 + place]


class DynamicAverage:
    """Dynamic weight average (Liu et al., 2019, equation 7), from epoch to epoch.

    lambda_k = K softmax(w_k / T), w_k = L_k(t - 1) / L_k(t - 2); 1 in the first two epochs.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self._epoch: list[Any] = []
        self._sums: dict[str, list[float]] = {}
        self._means: list[dict[str, float]] = []

    def note(self, task: str, loss: float, clock: Clock) -> None:
        """Take a batch's loss into the mean of its epoch."""
        epoch = [clock.stage, clock.epoch]
        if epoch != self._epoch:
            if self._sums:
                means = {task: total / count for task, (total, count) in self._sums.items()}
                self._means = [*self._means, means][-2:]
            self._epoch, self._sums = epoch, {}
        total, count = self._sums.get(task, (0.0, 0.0))
        self._sums[task] = [total + loss, count + 1]

    def weights(self, tasks: Sequence[str]) -> dict[str, float]:
        """Return what each task's loss weighs in this epoch."""
        if len(self._means) < 2:
            return dict.fromkeys(tasks, 1.0)
        before, last = self._means
        return averaged(
            {t: last[t] / before[t] if before.get(t) and t in last else 1.0 for t in tasks},
            self.temperature,
        )

    def state(self) -> dict[str, Any]:
        """Return what it remembers, as plain data."""
        return {"epoch": list(self._epoch), "sums": dict(self._sums), "means": list(self._means)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self._epoch, self._sums = list(state["epoch"]), dict(state["sums"])
        self._means = list(state["means"])


def averaged(pace: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Return K softmax(w / T) of how fast each task's loss has changed, w = 1 being not at all."""
    highest = max(pace.values())
    powers = {task: math.exp((w - highest) / temperature) for task, w in pace.items()}
    whole = sum(powers.values())
    return {task: len(pace) * power / whole for task, power in powers.items()}
