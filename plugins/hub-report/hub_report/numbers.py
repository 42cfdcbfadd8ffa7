"""Figures for numbers: predicted against true, and what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from hub_report.measures import Estimate
from hub_report.theme import FIRST, INK, QUIET, dress, legend
from hub_report.theme import sheet as new_sheet

MANY = 2000
"""Points from which on a figure holds them as a picture, not as shapes."""


def scatter_figure(estimates: Sequence[Estimate]) -> Figure:
    """Return predicted against true numbers, with the line where they are equal."""
    figure = new_sheet(height=3.5)
    axes = figure.add_subplot()
    dress(axes, "true", "predicted", grid="both")
    truth, guess = [e.truth for e in estimates], [e.guess for e in estimates]
    low, high = min(truth + guess), max(truth + guess)
    axes.plot([low, high], [low, high], color=INK, linestyle=(0, (4, 3)), linewidth=1.1,
              label="as it should be")  # fmt: skip
    axes.scatter(truth, guess, label="an example", **_dots(len(estimates)))
    legend(figure, axes)
    return figure


def residuals_figure(estimates: Sequence[Estimate]) -> Figure:
    """Return how much too high each prediction is, by the prediction, and as a histogram."""
    figure = new_sheet(height=3.5)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3.2, 1))
    dress(left, "predicted", "predicted - true", grid="both")
    dress(right, "count", "", grid="x")
    errors = [e.error for e in estimates]
    left.scatter([e.guess for e in estimates], errors, **_dots(len(estimates)))
    right.hist(errors, bins=min(30, max(6, len(errors) // 8)), orientation="horizontal",
               color=QUIET)  # fmt: skip
    right.locator_params(axis="x", nbins=3, integer=True)
    for axes in (left, right):
        axes.axhline(0, color=INK, linestyle=(0, (4, 3)), linewidth=1.1)
    return figure


def _dots(count: int) -> dict[str, Any]:
    return {
        "s": 22 if count <= 300 else 9,
        "color": FIRST,
        "alpha": 0.75 if count <= 300 else 0.4,
        "linewidths": 0,
        "rasterized": count > MANY,
    }
