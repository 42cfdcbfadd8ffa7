"""Figures for labels: the confusion matrix, and how far probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from hub_report.measures import Calibration, Outcome, confusion
from hub_report.theme import (
    FIRST,
    INK,
    LINE,
    QUIET,
    SECOND,
    SMALL,
    WIDTH,
    dress,
    legend,
    plain,
    short,
)
from hub_report.theme import sheet as new_sheet

MOST = 50
"""Labels that a confusion matrix shows at most."""
DETAILED = 10
"""Labels up to which a cell shows its share as well as its count."""


def shown_labels(outcomes: Sequence[Outcome], labels: Sequence[str]) -> list[str]:
    """Return the labels that the matrix shows: all, or those with the most mistakes."""
    if len(labels) <= MOST:
        return list(labels)
    wrong = dict.fromkeys(labels, 0)
    for outcome in outcomes:
        if not outcome.right:
            wrong[outcome.truth] += 1
            wrong[outcome.guess] += 1
    worst = set(sorted(labels, key=lambda label: -wrong[label])[:MOST])
    return [label for label in labels if label in worst]


def confusion_figure(outcomes: Sequence[Outcome], labels: Sequence[str]) -> Figure:
    """Return the confusion matrix: coloured by the share of a true label's row, with counts."""
    counts = np.array(confusion(outcomes, labels))
    rows = np.array([sum(o.truth == label for o in outcomes) for label in labels])
    shares = counts / np.maximum(rows, 1)[:, None]
    size = len(labels) * _cell(len(labels))
    figure = new_sheet(max(WIDTH, size + 1.5), max(2.6, size + 1.1))
    axes = figure.add_subplot()
    dress(axes, "predicted", "true", grid="")
    colors = np.ones((*shares.shape, 4))
    colors[..., :3] = to_rgb(FIRST)
    colors[..., 3] = shares**0.8
    axes.imshow(colors, interpolation="nearest")
    _name(axes, labels)
    _count(axes, counts, shares)
    return figure


def _cell(count: int) -> float:
    """Return the width of a cell in inches."""
    return next(
        width for most, width in ((3, 0.9), (6, 0.6), (10, 0.47), (20, 0.36), (99, 0.215))
        if count <= most
    )  # fmt: skip


def _name(axes: Axes, labels: Sequence[str]) -> None:
    names = [plain(short(label, 22)) for label in labels]
    size = SMALL if len(labels) <= 20 else 7
    crowded = len(labels) > DETAILED or max(map(len, names)) > 44 / len(labels)
    axes.set_xticks(range(len(labels)), names, fontsize=size, rotation=90 if crowded else 0)
    axes.set_yticks(range(len(labels)), names, fontsize=size)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=LINE, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _count(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    """Write the count into every cell, and its share where there is room."""
    detailed = len(counts) <= DETAILED
    size = 8.0 if detailed else (7.0 if len(counts) <= 20 else 5.5)
    for (row, column), count in np.ndenumerate(counts):
        if not count and not detailed:
            continue
        text = f"{count:,}"
        if detailed and counts[row].sum():
            text = f"{100 * shares[row, column]:.0f} %\n{count:,}" if count else "0"
        strong = shares[row, column] > 0.5
        color = "#ffffff" if strong else (INK if count else QUIET)
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)


def reliability_figure(found: Calibration) -> Figure:
    """Return accuracy by the model's probability, over how many predictions there are of each."""
    figure = new_sheet(height=3.5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    dress(upper, "", "share that is right")
    dress(lower, "probability of the predicted label", "count")
    full = [b for b in found.bins if b.count]
    middles = [(b.low + b.high) / 2 for b in full]
    width = 0.92 / len(found.bins)
    accuracy, sure = [b.accuracy for b in full], [b.confidence for b in full]
    upper.bar(middles, accuracy, width, color=FIRST, alpha=0.55, label="right")
    upper.vlines(middles, accuracy, sure, color=SECOND, linewidth=2.2)
    upper.plot(middles, sure, color=SECOND, marker="D", markersize=5, linestyle="",
               label="mean probability")  # fmt: skip
    upper.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 3)), linewidth=1.1,
               label="as it should be")  # fmt: skip
    lower.bar(middles, [b.count for b in full], width, color=QUIET)
    start = full[0].low
    upper.set_xlim(start if start > 0.3 else 0, 1)
    upper.set_ylim(0, 1)
    lower.locator_params(axis="y", nbins=3, integer=True)
    legend(figure, upper)
    return figure
