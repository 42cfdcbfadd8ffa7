"""What each compressor does to a model: bytes, memory, time and metrics, measured before and after.

Times are of this machine and this moment: read them against each other, not against others'.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from hub_core.batch import Batch, Row
from hub_core.manifest import EffectEntry
from hub_core.model import TaskModel, tensors_of
from hub_core.sparse import stored_bytes

START = "trained"
"""What the first entry is called, which is measured before any compressor finishes."""
SINGLE, TOGETHER = 8, 32
"""Examples that are timed one by one, and those that are timed as one batch."""
ROUNDS, SECONDS = 7, 1.0
"""Most rounds of either, and seconds after which no further one begins."""

Metrics = Mapping[str, Mapping[str, float]]


class Meter:
    """Measures a model whenever ``take`` is called.

    Args:
        model: The model.
        rows: Task to rows, of which the first task's are timed; without any nothing is timed.
        measure: Returns metrics by task, or None where there are no data to measure on.
    """

    def __init__(
        self,
        model: TaskModel,
        rows: Mapping[str, Sequence[Row]],
        measure: Callable[[], Metrics] | None = None,
    ) -> None:
        self._model, self._measure = model, measure
        self._task, self._rows = next(iter(rows.items()), ("", ()))
        self.entries: list[EffectEntry] = []

    def take(self, step: str) -> None:
        """Measure the model as it is now."""
        self._model.eval()
        tensors = tensors_of(self._model)
        memory = sum(tensor.nbytes for tensor in tensors.values())
        stored = stored_bytes(tensors)
        latency, throughput = self._times()
        found = {} if self._measure is None else self._measure()
        self.entries.append(
            EffectEntry(
                step=step,
                bytes=stored,
                memory=memory,
                latency=latency,
                throughput=throughput,
                metrics={task: dict(values) for task, values in found.items()},
            )
        )

    def _times(self) -> tuple[float, float]:
        """Return seconds for one example, and examples in a second of a batch; 0 without rows."""
        if not self._rows:
            return 0.0, 0.0
        several = self._spread(TOGETHER)
        alone = [self._batch([row]) for row in self._spread(SINGLE)]
        single = self._seconds(alone) / len(alone)
        return single, len(several) / self._seconds([self._batch(several)])

    def _spread(self, count: int) -> list[Row]:
        step = max(1, len(self._rows) // count)
        return [self._rows[index] for index in range(0, len(self._rows), step)][:count]

    def _batch(self, rows: Sequence[Row]) -> Batch:
        device = next(iter(tensors_of(self._model).values())).device
        return self._model.head(self._task).collate(list(rows), self._model.backbone).to(device)

    def _seconds(self, batches: Sequence[Batch]) -> float:
        """Return the median time of running all batches, after one round that does not count."""
        found: list[float] = []
        end = time.perf_counter() + SECONDS
        with torch.inference_mode():
            while len(found) <= ROUNDS and (len(found) < 2 or time.perf_counter() < end):
                started = time.perf_counter()
                for batch in batches:
                    self._model(batch)
                found.append(time.perf_counter() - started)
        return statistics.median(found[1:])
