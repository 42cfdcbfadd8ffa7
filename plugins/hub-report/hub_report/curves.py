"""Learning curves: loss and validation metrics by epoch, with stages and the best epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hub_report.gather import Epoch
from hub_report.theme import BAND, FIRST, INK, MARKERS, QUIET, SERIES, SMALL, dress, legend, plain
from hub_report.theme import sheet as new_sheet

LETTER = 0.021
"""Width of a letter of a stage's name, as a share of the axes."""


def loss_figure(history: Sequence[Epoch]) -> Figure | None:
    """Return the loss by epoch, or None where it is not known."""
    points = [(epoch.number, epoch.loss) for epoch in history if epoch.loss is not None]
    if not points:
        return None
    figure = new_sheet()
    axes = figure.add_subplot()
    dress(axes, "epoch", "loss")
    axes.plot(*zip(*points, strict=True), color=FIRST, marker="o", label="training loss",
              markersize=dot_size(points))  # fmt: skip
    mark_epochs(axes, history)
    legend(figure, axes)
    return figure


def metrics_figure(history: Sequence[Epoch], task: str) -> Figure | None:
    """Return a task's validation metrics by epoch, or None where there are none.

    Metrics in [-1, 1] share a panel; every other has its own.
    """
    panels = _panels(series_of(history, task))
    if not panels:
        return None
    figure = new_sheet(height=1.1 + 1.8 * len(panels))
    looks = zip(cycle(SERIES), cycle(MARKERS), strict=False)
    places = [figure.add_subplot(len(panels), 1, n) for n in range(1, len(panels) + 1)]
    for axes, names in zip(places, panels, strict=True):
        single = next(iter(names)) if len(names) == 1 else ""
        dress(axes, "epoch" if axes is places[-1] else "", single)
        for (name, points), (color, marker) in zip(names.items(), looks, strict=False):
            axes.plot(*zip(*points, strict=True), color=color, marker=marker, label=plain(name),
                      markersize=dot_size(points))  # fmt: skip
        mark_epochs(axes, history, named=axes is places[0])
    legend(figure, places[0])  # a panel of one metric has its name beside it
    return figure


def dot_size(points: Sequence[object]) -> float:
    """Return the size of a curve's markers."""
    return 4.5 if len(points) <= 20 else 2.5


def series_of(history: Sequence[Epoch], task: str) -> dict[str, list[tuple[int, float]]]:
    """Return a task's validation metrics as points of epoch and value."""
    found: dict[str, list[tuple[int, float]]] = {}
    for epoch in history:
        for name, value in epoch.validation.get(task, {}).items():
            found.setdefault(name, []).append((epoch.number, value))
    return found


def _panels(
    series: Mapping[str, list[tuple[int, float]]],
) -> list[dict[str, list[tuple[int, float]]]]:
    """Return what is drawn together."""
    shares = {n: p for n, p in series.items() if all(-1 <= value <= 1 for _, value in p)}
    return [shares] * bool(shares) + [{n: p} for n, p in series.items() if n not in shares]


def mark_epochs(axes: Axes, history: Sequence[Epoch], *, named: bool = True) -> None:
    """Show stages as bands where there are several, and the epoch whose model was kept.

    Args:
        axes: The axes, with epochs on the horizontal one.
        history: The epochs.
        named: Whether the stages' names stand above, as far as there is room for them.
    """
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlim(0.5, len(history) + 0.5)
    axes.margins(y=0.12)
    stages = [(name, list(found)) for name, found in groupby(history, key=lambda e: e.stage)]
    for number, (name, epochs) in enumerate(stages if len(stages) > 1 else []):
        left, right = epochs[0].number - 0.5, epochs[-1].number + 0.5
        if number % 2 == 0:
            axes.axvspan(left, right, color=BAND, linewidth=0, zorder=0)
        if not named or LETTER * len(name) > (right - left) / len(history):
            continue
        axes.annotate(plain(name), ((left + right) / 2, 1), xycoords=("data", "axes fraction"),
                      xytext=(0, 3), textcoords="offset points", ha="center", va="bottom",
                      fontsize=SMALL, color=QUIET)  # fmt: skip
    for epoch in history:
        if epoch.best:
            axes.axvline(epoch.number, color=INK, linestyle=(0, (4, 3)), linewidth=1.1, zorder=1,
                         label=f"best: epoch {epoch.number}")  # fmt: skip
