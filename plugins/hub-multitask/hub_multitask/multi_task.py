"""Training on several tasks (MT-DNN; Liu et al., 2019): each step a batch of one of them.

Which one is drawn by the tasks' sizes; losses may be weighed, gradients be projected, and each
task may attend to the shared features in its own way. What of the backbone trains, others say.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hub_core.declare import Clock, Task
from hub_core.errors import IncompatibleError, near
from hub_core.model import Batch, Example, Output, TaskModel
from hub_core.part import Context, Losses, ParameterOptions, Part
from hub_multitask.attention import TaskAttention
from hub_multitask.sampling import chances, drawn, generator_at
from hub_multitask.surgery import Surgery
from hub_multitask.weighting import DynamicAverage, Uncertain, is_gaussian, unwrap


class MultiTask(Part):
    """Tasks share a backbone; sampling, weights and gradients decide how."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._seed: int | None = None
        self._sizes: dict[str, int] = {}
        self._batches: dict[str, int] = {}
        self._average = DynamicAverage(options.temperature)
        self._surgery = Surgery()
        self._uncertain: dict[str, Uncertain] = {}
        self._sigmas: dict[str, float] = {}

    # -- build

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Draw the seed, and put around every head what belongs to its task."""
        if not ctx.restoring:  # one task of several may be restored alone
            self._check([task.name for task in ctx.tasks])
        if self._seed is None:
            self._seed = int(torch.randint(2**31, (), generator=ctx.generator))
        options, hidden = self.options, model.backbone.layout.hidden
        for task in model.heads:
            if options.attention:
                attend = functools.partial(
                    TaskAttention, hidden=hidden, reduction=options.reduction
                )
                model.wrap(f"heads.{task}", attend)
            if options.weighting == "uncertainty":
                gaussian = is_gaussian(model.head(task))
                model.wrap(f"heads.{task}", functools.partial(Uncertain, gaussian=gaussian))
                outermost = model.heads[task]
                assert isinstance(outermost, Uncertain)
                self._uncertain[task] = outermost

    def _check(self, tasks: Sequence[str]) -> None:
        """Refuse shares and numbers that do not fit the recipe's tasks."""
        options = self.options
        known = ", ".join(tasks)
        for name in options.shares:
            if name not in tasks:
                raise IncompatibleError(
                    f"multi-task: shares names the task '{name}', which the recipe does not have",
                    hint=near(name, tasks) or f"it has {known}",
                )
        missing = [task for task in tasks if task not in options.shares]
        if options.sampling == "explicit" and missing:
            raise IncompatibleError(
                f"multi-task: shares says nothing about the task '{missing[0]}'",
                hint="give every task a share; one with 0 is never trained",
            )
        if options.together > len(tasks):
            raise IncompatibleError(
                f"multi-task: together = {options.together}, but the recipe has {len(tasks)} tasks",
                hint="0 takes all of them in every step",
            )

    # -- which task comes next

    def examples(self, examples: Sequence[Example], task: Task, ctx: Context) -> Sequence[Example]:
        """Note how many examples a task has; they stay as they are."""
        self._sizes[task.name] = len(examples)
        return examples

    def _chances(self, tasks: Sequence[str], clock: Clock) -> dict[str, float]:
        sizes = {task: self._sizes[task] for task in tasks}
        return chances(self.options.sampling, sizes, self.options.shares, clock)

    def next_task(self, tasks: Sequence[str], clock: Clock) -> str:
        """Draw a task; all batches of a step are of the same one."""
        assert self._seed is not None
        [task] = drawn(self._chances(tasks, clock), 1, generator_at(self._seed, clock))
        return task

    def step_tasks(self, tasks: Sequence[str], clock: Clock) -> Sequence[str]:
        """With surgery, draw the tasks that a step has a batch of each."""
        if self.options.surgery == "none":
            return ()
        if self.options.together in (0, len(tasks)):
            return tuple(tasks)
        assert self._seed is not None
        chance = self._chances(tasks, clock)
        return drawn(chance, self.options.together, generator_at(self._seed, clock))

    # -- train

    def optimizer_options(self, model: TaskModel) -> Mapping[nn.Parameter, ParameterOptions]:
        """Give the uncertainties their own rate, and no decay."""
        own = ParameterOptions(scale=self.options.uncertainty_rate, weight_decay=0.0)
        return {wrapper.log_variance: own for wrapper in self._uncertain.values()}

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Weigh the task's loss."""
        task = batch.task
        self._batches[task] = self._batches.get(task, 0) + 1
        if self.options.weighting == "uncertainty":
            factor, log_sigma = self._uncertain[task].terms()
            losses.scale("task", factor)
            losses.add("log-sigma", log_sigma)
        elif self.options.weighting == "dwa":
            self._average.note(task, float(losses.terms["task"].detach()), clock)
            losses.scale("task", self._average.weights(list(model.heads))[task])

    def on_backward(self, model: TaskModel, batch: Batch, clock: Clock) -> None:
        """Hand the shared parameters' gradients to surgery."""
        shared = [p for p in model.backbone.parameters() if p.requires_grad]
        if self.options.surgery == "none" or not shared:
            return
        assert self._seed is not None
        count = self.options.together or len(model.heads)
        order = generator_at(self._seed, clock, "order")
        self._surgery.catch(shared, batch.task, count, order)

    def on_gradients(self, model: TaskModel, clock: Clock) -> None:
        """End the step's surgery."""
        self._surgery.end_step()

    # -- finish

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Take the uncertainties away: the scores do not depend on them."""
        self._sigmas = {task: wrapper.sigma for task, wrapper in self._uncertain.items()}
        for task, wrapper in self._uncertain.items():
            unwrap(model, task, wrapper)

    def report(self, model: TaskModel) -> dict[str, float]:
        """Return each task's batches and sigma, and how gradients of tasks lie to each other.

        They are of the time up to the epoch whose model was kept.
        """
        found = {f"batches_{task}": float(count) for task, count in self._batches.items()}
        found |= {f"sigma_{task}": sigma for task, sigma in self._sigmas.items()}
        return found | self._surgery.report()

    def state_dict(self) -> dict[str, Any]:
        """Return seed and sizes, by which tasks are drawn, and what was counted."""
        return {
            "seed": self._seed,
            "sizes": dict(self._sizes),
            "batches": dict(self._batches),
            "average": self._average.state(),
            "surgery": self._surgery.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._seed = state["seed"]
        self._sizes, self._batches = dict(state["sizes"]), dict(state["batches"])
        self._average.restore(state["average"])
        self._surgery.restore(state["surgery"])
