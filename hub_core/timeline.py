"""When what trains: stages, clocks, and which parameters are chosen at every step of a run.

All of it is known before the first step, because ``select`` is pure: the optimizer is built over
everything that is ever chosen, and a resumed run finds the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub_core.build import Built
from hub_core.declare import Clock, Stage
from hub_core.errors import TrainingError
from hub_core.part import Chosen, Context, Part


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of a run: stage number, clock in the stage, steps done over all stages."""

    stage: int
    clock: Clock
    total: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known before the first step.

    Args:
        stages: The stages.
        epochs: Epochs of each stage.
        epoch_steps: Optimizer steps in an epoch.
        changes: Total steps done → what trains from then on, where it changes.
    """

    stages: tuple[Stage, ...]
    epochs: tuple[int, ...]
    epoch_steps: int
    changes: Mapping[int, Chosen]

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return sum(self.epochs) * self.epoch_steps

    @property
    def ever(self) -> Chosen:
        """Every parameter that is ever chosen."""
        return frozenset().union(*self.changes.values())

    def moment(self, total: int) -> Moment:
        """Return the point at which ``total`` steps are done."""
        done = total
        for number, (stage, epochs) in enumerate(zip(self.stages, self.epochs, strict=True)):
            steps = epochs * self.epoch_steps
            if done < steps or number == len(self.stages) - 1:
                epoch = done // self.epoch_steps
                return Moment(number, Clock(done, steps, epoch, epochs, stage.name), total)
            done -= steps
        raise AssertionError("a plan has at least one stage")


def plan_stages(parts: Sequence[Part], contexts: Sequence[Context]) -> list[Stage]:
    """Return the stages of the one part that brings some, else a single stage."""
    for part, ctx in zip(parts, contexts, strict=True):
        if stages := part.stages(ctx):
            return list(stages)
    return [Stage()]


def stage_epochs(stages: Sequence[Stage], epochs: int) -> tuple[int, ...]:
    """Divide epochs among stages by their shares, at least one each.

    What whole numbers leave over goes where most is missing, so the sum is ``epochs``. With fewer
    epochs than stages every stage has one, and the run takes longer than ``epochs``.
    """
    whole = sum(stage.share for stage in stages)
    counts = [1] * len(stages)
    for _ in range(epochs - len(stages)):
        missing = [
            epochs * stage.share / whole - count
            for stage, count in zip(stages, counts, strict=True)
        ]
        counts[missing.index(max(missing))] += 1
    return tuple(counts)


def plan_run(built: Built, epochs: int, epoch_steps: int) -> Plan:
    """Ask every part what trains when, and return the plan of the whole run.

    Raises:
        TrainingError: At some moment nothing would train.
    """
    stages = tuple(plan_stages(built.parts, built.contexts))
    plan = Plan(stages, stage_epochs(stages, epochs), epoch_steps, {})
    changes: dict[int, Chosen] = {}
    last: Chosen | None = None
    for total in range(plan.steps):
        clock = plan.moment(total).clock
        chosen = chosen_at(built, clock)
        if not chosen:
            raise TrainingError(
                f"nothing would train in step {clock.step + 1} of stage {clock.stage}",
                hint="choose a strategy that trains something, or a smaller part of the model",
            )
        if chosen != last:
            changes[total] = last = chosen
    return Plan(plan.stages, plan.epochs, epoch_steps, changes)


def chosen_at(built: Built, clock: Clock) -> Chosen:
    """Return what trains at a time: heads and fresh parameters, widened, then narrowed."""
    chosen = built.model.head_parameters() | built.model.backbone.fresh
    for narrows in (False, True):
        for part in built.parts:
            if part.narrows is narrows:
                chosen = part.select(built.model, chosen, clock)
    return chosen
