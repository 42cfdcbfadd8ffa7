"""Colours for light and dark, from the Okabe-Ito palette, which colour-blind readers tell apart.

Figures are drawn in the light colours; in the page, each becomes a CSS variable.
"""

from __future__ import annotations

import math
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

COLORS = {
    "ink": ("#1c2024", "#eceff3"),
    "quiet": ("#5b6570", "#a5afba"),
    "line": ("#d8dde2", "#38414a"),
    "band": ("#eef1f4", "#222930"),
    "paper": ("#fefefe", "#161b20"),
    "first": ("#0072b2", "#56b4e9"),
    "second": ("#d55e00", "#e8a33d"),
    "third": ("#009e73", "#33c9a0"),
    "fourth": ("#b5578f", "#dd9cc2"),
    "fifth": ("#8a6d00", "#f0e442"),
}
"""Name to the colour in light and in dark."""

INK, QUIET, LINE, BAND, PAPER = (COLORS[n][0] for n in ("ink", "quiet", "line", "band", "paper"))
FIRST, SECOND = COLORS["first"][0], COLORS["second"][0]
SERIES = tuple(COLORS[name][0] for name in ("first", "second", "third", "fourth", "fifth"))
MARKERS = ("o", "s", "^", "D", "v")
SMALL, USUAL = 8.5, 9.5
"""Sizes of text in points."""
LETTERS, MARK = 13, 6
"""Small letters in an inch, and how many of them a legend's mark takes."""
WIDTH, PAD = 4.2, 0.07
"""Width in inches of a figure that stands beside another, and what is left free around it."""


def sheet(width: float = WIDTH, height: float = 2.9) -> Figure:
    """Return an empty figure, its size in inches."""
    layout = ConstrainedLayoutEngine(w_pad=PAD, h_pad=PAD)
    return Figure(figsize=(width, height), layout=layout, facecolor=PAPER)


def dress(
    axes: Axes, x: str = "", y: str = "", *, grid: Literal["x", "y", "both", ""] = "y"
) -> None:
    """Give axes their labels and the quiet look of all figures.

    Args:
        axes: The axes.
        x: What is on the horizontal axis.
        y: What is on the vertical axis.
        grid: Which grid lines there are: ``x``, ``y``, ``both`` or none.
    """
    axes.set_facecolor("none")
    axes.set_xlabel(plain(x), color=QUIET, fontsize=USUAL)
    axes.set_ylabel(plain(y), color=QUIET, fontsize=USUAL)
    axes.tick_params(colors=LINE, labelcolor=QUIET, labelsize=SMALL, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.7)


def legend(figure: Figure, axes: Axes) -> None:
    """Put what the marks mean under a figure, in as many lines as they need."""
    handles, names = axes.get_legend_handles_labels()
    room = sum(len(name) + MARK for name in names) / (figure.get_figwidth() * LETTERS)
    figure.legend(
        handles, names, loc="outside lower center", ncols=-(-len(names) // math.ceil(room)),
        frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=1.8, columnspacing=1.4,
    )  # fmt: skip


def plain(text: str) -> str:
    """Return text that matplotlib draws as it is, on one line: a dollar is no formula."""
    return " ".join(text.split()).replace("$", r"\$")


def short(text: str, most: int) -> str:
    """Return text that is at most so many letters long, cut in the middle.

    Long labels often differ at one of their ends only.
    """
    end = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[-end:]}"
