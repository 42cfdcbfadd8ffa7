"""How a model's compressors are shown: a row before them and one after each."""

from __future__ import annotations

from collections.abc import Sequence

from hub_core.cli.output import table
from hub_core.figures import size
from hub_core.manifest import EffectEntry


def effects_table(effects: Sequence[EffectEntry]) -> str:
    """Return bytes, times and validation metrics of each step; beside them the change."""
    if not effects:
        return ""
    first = effects[0]
    names = [(task, name) for task, found in first.metrics.items() for name in found]
    titles = [name if len(first.metrics) == 1 else f"{task} {name}" for task, name in names]
    header = ["compressors", "in a file", "in memory", "one example", "batch of 32", *titles]
    rows = []
    for effect in effects:
        metrics = [_metric(effect, first, task, name) for task, name in names]
        rows.append([effect.step, size(effect.bytes), size(effect.memory),
                     *_times(effect, first), *metrics])  # fmt: skip
    return table(rows, header)


def _times(effect: EffectEntry, first: EffectEntry) -> tuple[str, str]:
    if not effect.latency:
        return "not timed", "not timed"
    faster = [first.latency / effect.latency, effect.throughput / first.throughput]
    single, several = ("" if effect is first else f" ({ratio:.2f}x)" for ratio in faster)
    return f"{1000 * effect.latency:.2f} ms{single}", f"{effect.throughput:,.0f} /s{several}"


def _metric(effect: EffectEntry, first: EffectEntry, task: str, name: str) -> str:
    value, before = effect.metrics[task][name], first.metrics[task][name]
    return f"{value:.4f}" + ("" if effect is first else f" ({value - before:+.4f})")
