"""The one picture of a model card: how it learned, and what it reached on held-out examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hub_report.curves import dot_size, mark_epochs, series_of
from hub_report.drawing import png
from hub_report.gather import Epoch, history_of
from hub_report.theme import (
    FIRST,
    INK,
    LINE,
    MARKERS,
    QUIET,
    SERIES,
    SMALL,
    USUAL,
    dress,
    legend,
    plain,
    sheet,
    short,
)

if TYPE_CHECKING:
    from hub_core.manifest import Manifest

WIDTH, HEIGHT, ROW = 6.4, 2.7, 0.24
"""Inches: of the picture, and of a row of its bars."""
ROWS, LETTERS = 10, 16
"""Most rows of bars, and letters of a task's or metric's name."""
SPLITS = ("test", "validation")


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the bars: a metric, or a task with its split where there is no value."""

    name: str
    value: float | None = None
    split: str = ""


def card_picture(manifest: Manifest) -> bytes | None:
    """Return the picture as PNG, or None where nothing was measured.

    Args:
        manifest: What ``hub.json`` says.
    """
    history = history_of(manifest)
    history = history if len(history) > 1 else []
    lines = list(_lines(manifest))
    curves = _curves(history, list(manifest.tasks))
    losses = [(epoch.number, epoch.loss) for epoch in history if epoch.loss is not None]
    return png(_figure(history, losses, curves, lines)) if losses or curves or lines else None


def _figure(
    history: Sequence[Epoch],
    losses: Sequence[tuple[int, float]],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    lines: Sequence[Line],
) -> Figure:
    wanted = [bool(losses), bool(curves), bool(lines)]
    height = 0.75 + ROW * len(lines)
    figure = sheet(WIDTH, max(height, HEIGHT) if any(wanted[:2]) else height)
    ratios = [share for share, there in zip((1, 1.1, 1.3), wanted, strict=True) if there]
    grid = figure.add_gridspec(1, len(ratios), width_ratios=ratios)
    places = iter(figure.add_subplot(grid[0, number]) for number in range(len(ratios)))
    if losses:
        axes = _titled(next(places), "training loss")
        dress(axes, "epoch")
        axes.plot(*zip(*losses, strict=True), color=FIRST, marker="o", markersize=dot_size(losses))
        _mark(axes, history)
    if curves:
        axes = _titled(next(places), "validation")
        _draw_curves(axes, curves)
        _mark(axes, history)
        legend(figure, axes)
    if lines:
        _draw_bars(next(places), lines)
    return figure


def _titled(axes: Axes, text: str) -> Axes:
    axes.set_title(plain(text), fontsize=USUAL, color=INK, loc="left")
    return axes


# -- curves


def _curves(
    history: Sequence[Epoch], tasks: Sequence[str]
) -> dict[str, Sequence[tuple[int, float]]]:
    """Return what is drawn by epoch: of one task every metric in [-1, 1], of several the first."""
    found: dict[str, Sequence[tuple[int, float]]] = {}
    for task in tasks[: len(SERIES)]:
        shares = {
            name: points
            for name, points in series_of(history, task).items()
            if all(-1 <= value <= 1 for _, value in points)
        }
        if len(tasks) == 1:
            return {short(name, LETTERS): p for name, p in list(shares.items())[: len(SERIES)]}
        for name, points in list(shares.items())[:1]:
            found[f"{short(task, LETTERS)} {short(name, LETTERS)}"] = points
    return found


def _draw_curves(axes: Axes, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    dress(axes, "epoch")
    looks = zip(cycle(SERIES), cycle(MARKERS), strict=False)
    for (name, points), (color, marker) in zip(curves.items(), looks, strict=False):
        axes.plot(*zip(*points, strict=True), color=color, marker=marker, label=plain(name),
                  markersize=dot_size(points))  # fmt: skip


def _mark(axes: Axes, history: Sequence[Epoch]) -> None:
    mark_epochs(axes, history, named=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))


# -- bars


def _lines(manifest: Manifest) -> Iterator[Line]:
    """Yield the rows of each task: its test split, or validation where there is no other."""
    measured = {
        name: split
        for name, entry in manifest.tasks.items()
        if (split := next((split for split in SPLITS if entry.metrics.get(split)), ""))
    }
    if not measured:
        return
    each = max(1, ROWS // len(measured) - 1)
    shown = list(measured.items())[: ROWS // 2]
    for name, split in shown:
        entry = manifest.tasks[name]
        count = f"{split}, n = {entry.examples.get(split, 0):,}"
        yield Line(short(name, LETTERS), split=count)
        for metric, value in list(entry.metrics[split].items())[:each]:
            yield Line(short(metric, LETTERS), value)
    if len(shown) < len(measured):
        yield Line("", split=f"and {len(measured) - len(shown)} more tasks")


def _draw_bars(axes: Axes, lines: Sequence[Line]) -> None:
    """Draw a row for each line; the only task's split is the title."""
    if sum(line.value is None for line in lines) == 1:
        _titled(axes, lines[0].split)
        lines = lines[1:]
    dress(axes, grid="")
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)
    shares = [line.value for line in lines if line.value is not None and line.value >= -1]
    axes.set_xlim(min([0.0, *shares]), 1.28)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks(range(len(lines)), [plain(line.name) for line in lines])
    axes.tick_params(axis="y", length=0)
    for place, (line, label) in enumerate(zip(lines, axes.get_yticklabels(), strict=True)):
        label.set_color(INK if line.value is None else QUIET)
        _draw_row(axes, place, line)


def _draw_row(axes: Axes, place: int, line: Line) -> None:
    """Draw a bar for a metric in [-1, 1]; of others there is the number alone."""
    value = line.value
    if value is None:
        axes.annotate(plain(line.split), (0, place), xycoords=("axes fraction", "data"),
                      va="center", fontsize=SMALL, color=INK)  # fmt: skip
        return
    share = -1 <= value <= 1
    if share:
        axes.barh(place, 1, height=0.62, color=LINE, alpha=0.55, linewidth=0)
        axes.barh(place, value, height=0.62, color=FIRST, linewidth=0)
    axes.annotate(f"{value:.3f}", (1 if share else 0, place), xytext=(4, 0), color=INK,
                  textcoords="offset points", va="center", fontsize=SMALL)  # fmt: skip
