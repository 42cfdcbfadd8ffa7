"""The range of a head's scores, growing while the validation metric gains by it.

The bound is the soft cap of Gemma 2 (2024), z' = c tanh(z / c); the temperature after training is
Guo et al. (2017). That the bound grows by a metric is a procedure of this plugin.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hub_core.batch import Batch
from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Context, Part
from hub_range.closing import calibrated, only_harms, removal
from hub_range.growth import Growth
from hub_range.measured import measured
from hub_range.options import DynamicRangeOptions
from hub_range.ranged import KINDS, Learned, Ranged

log = logging.getLogger("hub_core")

ALL = 100_000
"""More batches than anybody validates on."""


def first_value(variant: str, start: Any, labels: int) -> float:
    """Return the bound or factor to start from.

    Args:
        variant: bounded, scheduled or learned.
        start: The option; ``auto`` leaves two labels room for a probability of 0.98.
        labels: Labels of the task, 0 where it has none.
    """
    if start != "auto":
        return float(start)
    bound = max(2.0, 2 * math.log(max(1, labels)))
    return {"bounded": bound, "scheduled": 0.25, "learned": 1.0}[variant]


def factor_at(progress: float, start: float, end: float) -> float:
    """Return s0 + (s1 - s0) (1 - (1 - t/T)^3), which nears the end slowly.

    Args:
        progress: t/T in [0, 1].
        start: s0.
        end: s1.
    """
    return start + (end - start) * (1 - (1 - progress) ** 3)


class DynamicRange(Part):
    """Every task's scores are bounded or scaled, in a range that changes during training."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._heads: dict[str, Ranged] = {}
        self._growth: dict[str, Growth] = {}
        self._metrics: dict[str, str] = {}
        self._steps, self._observed = 0, False
        self._temperatures: dict[str, float] = {}
        self._figures: dict[str, float] = {}
        self._ctx = Context()

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Wrap every head."""
        self._ctx = ctx
        for task in ctx.tasks:
            value = self._start(task.name)
            self._heads[task.name] = self._wrapped(model, task.name, value)
            self._metrics[task.name] = f"{task.name}.{ctx.metric or model.head(task.name).metric}"
            self._growth.setdefault(task.name, Growth(value, value))
        self._apply()

    def _start(self, task: str) -> float:
        labels = next(len(known.labels) for known in self._ctx.tasks if known.name == task)
        return first_value(self.options.variant, self.options.start, labels)

    def _wrapped(self, model: TaskModel, task: str, value: float) -> Ranged:
        ranged = KINDS[self.options.variant](model.heads[task], value)
        model.wrap(f"heads.{task}", lambda _: ranged)
        return ranged

    def observe(self, model: TaskModel, ctx: Context) -> None:
        """Refuse to grow a bound, or to calibrate, without validation data."""
        self._observed = True
        if self.options.variant != "bounded" and not self.options.calibrate:
            return
        purpose = "calibrate on" if self.options.calibrate else "grow the bound by"
        there = {batch.task for batch in ctx.validation(len(ctx.tasks))}
        if absent := [task.name for task in ctx.tasks if task.name not in there]:
            raise IncompatibleError(
                f"dynamic-range: task {absent[0]} has no validation data to {purpose}",
                hint=f"give --validation, or tasks.{absent[0]}.validation = 0.1"
                + _without(self.options),
            )

    # -- train

    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Move a scheduled factor on, and keep a learned one within its limit."""
        self._steps += 1  # over all stages, while the clock counts those of one
        if self.options.variant == "scheduled":
            done = min(1.0, self._steps / self._ctx.steps) if self._ctx.steps else clock.progress
            for growth in self._growth.values():
                growth.value = factor_at(done, growth.best, self.options.end)
            self._apply()
        for head in self._heads.values():
            if isinstance(head, Learned):
                head.clamp()

    def on_evaluation(self, model: TaskModel, metrics: Mapping[str, float], clock: Clock) -> None:
        """Let each task's bound grow by its own metric."""
        if self.options.variant != "bounded":
            return
        for task, name in self._metrics.items():
            if name in metrics:  # a task may have no validation data
                self._growth[task].tell(metrics[name], self.options)
                self._ctx.log(f"range.{task}", self._growth[task].value)
        self._apply()

    def _apply(self) -> None:
        """Put every range that is not learned into its head."""
        if self.options.variant != "learned":
            for task, head in self._heads.items():
                head.put(self._growth[task].value)

    # -- finish

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Take a bound away that only harmed, calibrate, and measure what both changed."""
        if self._observed and not ctx.restoring:
            self._figures = {}
            batches = ctx.validation(ALL)
            for task in self._heads:
                figures = self._close(model, task, [b for b in batches if b.task == task])
                ending = f".{task}" if len(self._heads) > 1 else ""
                self._figures |= {f"{name}{ending}": figure for name, figure in figures.items()}
        for task, head in self._heads.items():
            head.temperature.fill_(self._temperatures.get(task, 1.0))

    def _close(self, model: TaskModel, task: str, batches: list[Batch]) -> dict[str, float]:
        """Decide what is served of a task, and return its figures."""
        head, growth = self._heads[task], self._growth[task]
        bounds = self.options.variant == "bounded"
        figures = growth.figures() if bounds else {}
        if batches:
            found = measured(model, head, batches)
            if bounds and only_harms(growth.value, self._start(task), found):
                log.warning("%s", removal(self._metrics[task], growth.value, found))
                found, growth.value = replace(found, served=found.plain), math.inf
                head.put(math.inf)
                figures["range_removed"] = 1.0
            if found.targets is not None:
                calibrate = self.options.calibrate
                fitted = calibrated(found.plain, found.served, found.targets, fit=calibrate)
                figures, self._temperatures[task] = figures | fitted.figures(), fitted.temperature
        if math.isfinite(head.number()):
            figures["range"] = head.number()
        return figures

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return the range, how it got there, and calibration before and after."""
        return self._figures

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """Return the ranges, the steps done and the temperatures."""
        return {
            "growth": {task: growth.state_dict() for task, growth in self._growth.items()},
            "steps": self._steps,
            "observed": self._observed,
            "temperatures": dict(self._temperatures),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the state back; the heads follow if they are there already."""
        for task, own in state["growth"].items():
            self._growth.setdefault(task, Growth(1.0, 1.0)).load(own)
        self._steps, self._observed = state["steps"], state["observed"]
        self._temperatures = dict(state["temperatures"])


def _without(options: DynamicRangeOptions) -> str:
    """Return the other way out of having no validation data, for a hint."""
    if options.calibrate:
        return ", or leave calibrate out"
    return ', or set variant = "scheduled" or "learned", which need none'
