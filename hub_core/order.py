"""Which batch comes when: of each task, of each epoch, of each step."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import torch

from hub_core.data import batches_of
from hub_core.declare import Clock
from hub_core.model import Row
from hub_core.part import Part
from hub_core.recipe import Training
from hub_core.timeline import Plan


class Order:
    """The batches of a run, the same whenever they are asked for.

    Args:
        rows: Training rows by task.
        settings: The recipe's training section.
        parts: Asked which tasks come next.

    Attributes:
        several: Batches in a step.
        epoch_steps: Steps in an epoch.
    """

    def __init__(
        self, rows: Mapping[str, Sequence[Row]], settings: Training, parts: Sequence[Part]
    ) -> None:
        self._rows, self._settings, self._parts = rows, settings, parts
        together = self._together(Clock(0, 1, 0, 1))
        self._whole_steps = bool(together)
        self.several = settings.accumulate * max(1, len(together))
        self.epoch_steps = math.ceil(sum(map(len, self._of_epoch(0).values())) / self.several)

    def batches(self, epoch: int, start: int, plan: Plan) -> list[tuple[str, Sequence[Row]]]:
        """Return an epoch's batches in order, each with its task.

        Args:
            epoch: Number of the epoch over all stages.
            start: Total steps before the epoch.
            plan: The run's plan.
        """
        batches = self._of_epoch(epoch)
        taken = dict.fromkeys(batches, 0)
        result = []
        clocks = [plan.moment(start + step).clock for step in range(self.epoch_steps)]
        for task in self._tasks(epoch, batches, clocks):
            result.append((task, batches[task][taken[task] % len(batches[task])]))
            taken[task] += 1
        return result

    def _tasks(
        self, epoch: int, batches: Mapping[str, Sequence[object]], clocks: Sequence[Clock]
    ) -> list[str]:
        """Return the task of every batch: what parts say, else all batches in random order."""
        if self._whole_steps:
            again = self._settings.accumulate
            return [task for clock in clocks for task in [*self._together(clock)] * again]
        order = [task for task, found in batches.items() for _ in found]
        mixed = torch.randperm(len(order), generator=self._generator(epoch, -1)).tolist()
        sequence = [order[index] for index in mixed]
        for offset, usual in enumerate(sequence):
            clock = clocks[offset // self.several]
            asked = (part.next_task(list(batches), clock) for part in self._parts)
            sequence[offset] = next((task for task in asked if task), usual)
        return sequence

    def _together(self, clock: Clock) -> Sequence[str]:
        """Return the tasks of which a step takes one batch each, if a part says so."""
        asked = (part.step_tasks(list(self._rows), clock) for part in self._parts)
        return next((names for names in asked if names), ())

    def _of_epoch(self, epoch: int) -> dict[str, list[Sequence[Row]]]:
        tokens, most = self._settings.batch_tokens, self._settings.batch_examples
        return {
            task: batches_of(rows, tokens, most, self._generator(epoch, number))
            for number, (task, rows) in enumerate(self._rows.items())
        }

    def _generator(self, *numbers: int) -> torch.Generator:
        mixed = random.Random(repr((self._settings.seed, *numbers))).getrandbits(63)
        return torch.Generator().manual_seed(mixed)
