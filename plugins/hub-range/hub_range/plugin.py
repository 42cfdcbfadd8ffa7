"""What this plugin provides."""

from collections.abc import Iterator
from typing import Any

from hub_core.spec import Method, hookimpl


def _scores(options: Any) -> frozenset[str]:
    """Say that a temperature is found for heads that predict one label."""
    return frozenset({"scores"} | ({"one-label"} if options.calibrate else set()))


def _thresholds(options: Any) -> frozenset[str]:
    """Say what is needed by the places where values are thresholded."""
    tags = {"vector": {"linear-output"}, "up": {"linears", "open-body"}}
    proximal = {"head-weights"} if options.proximal and options.target == "head" else set()
    return frozenset(proximal.union(*(tags[place] for place in options.where)))


def _hides(options: Any) -> frozenset[str]:
    """Say that a thresholded layer is no matrix any more, and keeps its channels."""
    hidden = {"frozen-body", "plain-weights", "free-heads"}
    return frozenset(hidden if "up" in options.where else set())


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
    yield Method(
        name="dynamic-range",
        summary="The scores' range grows as long as validation gains by it",
        factory="hub_range.dynamic:DynamicRange",
        options="hub_range.options:DynamicRangeOptions",
        requires=_scores,
        paper="https://arxiv.org/abs/2408.00118",
    )
    yield Method(
        name="soft-threshold",
        summary="Values below a learned threshold do not activate",
        factory="hub_range.threshold:SoftThreshold",
        options="hub_range.options:SoftThresholdOptions",
        requires=_thresholds,
        removes=_hides,
        paper="https://doi.org/10.1109/TII.2019.2943898",
    )
