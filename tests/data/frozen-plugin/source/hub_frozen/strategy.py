"""A strategy that writes every method of training that a part can write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hub_core.declare import Clock, Stage, Task
from hub_core.model import Batch, Example, Output, TaskModel, Wrapper
from hub_core.part import Chosen, Context, Losses, ParameterOptions, Part, Portable, created


class Shifted(Wrapper):
    """A linear layer, and a trained vector that is added to what it gives."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.frozen_shift = nn.Parameter(0.01 * torch.randn(self.out_features))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., out) for (..., in)."""
        given = self.base_layer(hidden)
        return given + self.frozen_shift.to(given.dtype)

    def fold(self, linear: nn.Linear) -> None:
        """Add the vector to the bias."""
        linear.bias.add_(self.frozen_shift)


class FrozenShift(Part):
    """Vectors beside the linear layers, in two stages; it counts what it is asked."""

    narrows: ClassVar = False
    learning_rate_hint: ClassVar = 1e-2
    changes_body: ClassVar = False

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._added: Chosen = frozenset()
        self._steps, self._best, self._order = 0, 0.0, ""

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Wrap every linear layer."""
        before = frozenset(model.parameters())
        for path, _ in list(model.linears("up")):
            model.wrap(path, Shifted)
        self._added = created(before, model)
        if not ctx.restoring and not self._order:
            chance = torch.rand((), generator=ctx.generator)
            self._order = f"{len(ctx.tasks)} {chance.item():.6f}"

    def stages(self, ctx: Context) -> tuple[Stage, ...]:
        """Return two stages."""
        return (Stage("first", 0.5, 1e-2), Stage("second", share=0.5))

    def examples(self, examples: Sequence[Example], task: Task, ctx: Context) -> Sequence[Example]:
        """Return the examples backwards."""
        return list(examples)[::-1]

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Leave the heads alone in the second stage."""
        if clock.stage == "second":
            chosen = chosen - model.head_parameters()
        return chosen | self._added

    def learning_rate(self, clock: Clock) -> float:
        """Halve the rate after an epoch."""
        return 1.0 if clock.epoch == 0 else 0.5

    def schedule(self, clock: Clock) -> float | None:
        """Let the rate fall by half in each stage."""
        return 1 - clock.progress / 2

    def optimizer_options(self, model: TaskModel) -> Mapping[nn.Parameter, ParameterOptions]:
        """Give the vectors a rate of their own."""
        return {p: ParameterOptions(self.options.scale, weight_decay=0.0) for p in self._added}

    def optimizer(self, groups: list[dict[str, Any]], ctx: Context) -> torch.optim.Optimizer | None:
        """Return Adam."""
        return torch.optim.Adam(groups, lr=1e-2)

    def next_task(self, tasks: Sequence[str], clock: Clock) -> str | None:
        """Take turns."""
        return tasks[clock.step % len(tasks)]

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Let large scores cost something."""
        losses.scale("task", 1.0)
        losses.add("frozen-size", output.scores.float().square().mean(), self.options.penalty)

    def on_gradients(self, model: TaskModel, clock: Clock) -> None:
        """Bound every gradient."""
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.clamp_(-1, 1)

    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Count the steps."""
        self._steps += 1

    def on_evaluation(self, model: TaskModel, metrics: Mapping[str, float], clock: Clock) -> None:
        """Keep the best metric."""
        self._best = max(self._best, *metrics.values())

    def servable(self, model: TaskModel, clock: Clock) -> bool:
        """Say that the first epoch's model is not."""
        return clock.stage == "second"

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Fold the vectors in."""
        for path, _ in list(model.linears("up")):
            model.bake(path)

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return what was counted."""
        return {"steps": self._steps, "best": self._best}

    def portable(self, model: TaskModel) -> Portable | None:
        """Return None: no library has it."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted and drawn."""
        return {"steps": self._steps, "best": self._best, "order": self._order}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self._steps, self._best, self._order = state["steps"], state["best"], state["order"]
