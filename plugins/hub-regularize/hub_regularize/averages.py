"""Averages of the weights along training: SWA (Izmailov et al., 2018) and an exponential mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from hub_core.declare import Clock
from hub_core.model import Batch, Output, TaskModel
from hub_core.part import Context, Losses, Part
from hub_regularize.swapping import Swap


class Average(Part):
    """What is measured, kept and served is a mean of the weights, not the last of them.

    With the n-th snapshot w_n the mean moves by ``m_n = m_(n-1) + share * (w_n - m_(n-1))``. SWA:
    ``share = 1 / n``, equation 1 of the paper, the mean of all snapshots. Exponential mean:
    ``share = (1 - d) / (1 - d^n)``, which is ``m_n = d m_(n-1) + (1 - d) w_n`` from 0, divided by
    ``1 - d^n`` as in Adam. Every stage of training has a mean of its own.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._mean: dict[str, Tensor] = {}
        self._count = 0
        self._swap = Swap()

    def learning_rate(self, clock: Clock) -> float:
        """Return what undoes the linear decay from the start of the snapshots on."""
        if self.options.schedule == "usual" or clock.progress <= self.options.start:
            return 1.0
        start: float = self.options.start
        return (1 - start) / (1 - clock.progress)

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Begin anew with a stage; what begins to train was until now what it is now."""
        if clock.step == 0:
            self._mean, self._count = {}, 0
        if self._count:
            self._note(model)

    def _note(self, model: TaskModel) -> None:
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and name not in self._mean:
                self._mean[name] = parameter.detach().clone()

    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Move the mean where a snapshot is due."""
        if not self._due(clock):
            return
        self._note(model)
        self._count += 1
        share = self._share()
        for name, mean in self._mean.items():
            now = model.get_parameter(name).detach()
            mean.add_((now - mean) * share)  # to the bit what it was if nothing moves

    def _due(self, clock: Clock) -> bool:
        """Return whether the step that was just made gives a snapshot."""
        done, options = clock.step + 1, self.options
        if options.kind == "ema":
            return True
        every = options.every or clock.steps // clock.epochs
        return done == clock.steps or (done > options.start * clock.steps and done % every == 0)

    def _share(self) -> float:
        decay: float = self.options.decay
        if self.options.kind == "swa":
            return 1 / self._count
        return (1 - decay) / (1 - decay**self._count)

    def servable(self, model: TaskModel, clock: Clock) -> bool:
        """Return whether there is a mean."""
        return self._count > 0

    def before_evaluation(self, model: TaskModel, clock: Clock) -> None:
        """Put the mean in place of the weights that train."""
        self._swap.put(model, self._mean)

    def after_evaluation(self, model: TaskModel, clock: Clock) -> None:
        """Put the weights that train back."""
        self._swap.undo(model)

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Forget the mean, which is in the weights now."""
        self._mean, self._count = {}, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the mean and how many snapshots are in it."""
        return {"count": self._count, "mean": {n: mean.clone() for n, mean in self._mean.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the mean back."""
        self._count = state["count"]
        self._mean = {name: mean.clone() for name, mean in state["mean"].items()}
