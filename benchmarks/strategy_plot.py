"""The picture of the main strategies: metric over trained parameters, a panel for each data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Point = tuple[str, int, float]
"""Method, trained parameters, mean metric in percent."""

GAP = 0.03
"""Between two labels, as a share of the figures' range."""


def draw(panels: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Write the picture as SVG, the same bytes for the same figures."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "strategies"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(panels), figsize=(5 * len(panels), 5), squeeze=False)
    for axis, (name, points) in zip(axes[0], panels.items(), strict=True):
        axis.set_title(name)
        axis.set_xscale("log")
        axis.set_xlabel("trained parameters")
        axis.grid(visible=True, alpha=0.3)
        values = [value for _, _, value in points]
        gap, lowest = GAP * (max(values) - min(values)), {"left": max(values), "right": max(values)}
        for number, (method, trained, value) in enumerate(sorted(points, key=lambda p: -p[2])):
            axis.plot(trained, value, "o", color=f"C{number % 10}")
            side = "right" if trained > 1e6 else "left"
            height = min(value, lowest[side])  # a label is below the one above it
            lowest[side] = height - gap
            axis.annotate(
                method, (trained, height), fontsize=7, ha=side, textcoords="offset points",
                xytext=(-6 if side == "right" else 6, 0), va="center",
            )  # fmt: skip
    axes[0][0].set_ylabel("metric on test, %")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
