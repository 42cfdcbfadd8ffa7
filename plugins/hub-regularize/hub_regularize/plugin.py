"""What this plugin provides."""

from collections.abc import Iterator
from typing import Any

from hub_core.spec import Method, hookimpl


def _slot(options: Any) -> frozenset[str]:
    """Take the schedule where the rate is to stay constant."""
    return frozenset({"free-schedule"} if options.schedule != "usual" else ())


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
    yield Method(
        name="smart",
        summary="A small change of the word vectors may not change the prediction",
        factory="hub_regularize.smart:Smart",
        options="hub_regularize.options:SmartOptions",
        requires=frozenset({"scores"}),
        paper="https://arxiv.org/abs/1911.03437",
    )
    yield Method(
        name="r-drop",
        summary="Two predictions under different dropout must agree",
        factory="hub_regularize.rdrop:RDrop",
        options="hub_regularize.options:RDropOptions",
        requires=frozenset({"scores"}),
        paper="https://arxiv.org/abs/2106.14448",
    )
    yield Method(
        name="swa",
        summary="What is served is a mean of the weights along training",
        factory="hub_regularize.averages:Average",
        options="hub_regularize.options:AverageOptions",
        requires=_slot,
        removes=_slot,
        paper="https://arxiv.org/abs/1803.05407",
    )
    yield Method(
        name="wise-ft",
        summary="What is served lies between the pre-trained and the tuned weights",
        factory="hub_regularize.wise:WiseFt",
        options="hub_regularize.options:WiseFtOptions",
        requires=frozenset({"open-body"}),
        removes=frozenset({"frozen-body"}),
        paper="https://arxiv.org/abs/2109.01903",
    )
    yield Method(
        name="setfit",
        summary="For few labels: the encoder learns from pairs, then the head is fitted",
        factory="hub_regularize.setfit:SetFit",
        options="hub_regularize.options:SetFitOptions",
        requires=frozenset({"one-label", "linear-output", "open-body", "free-stages"}),
        removes=frozenset({"free-stages", "frozen-body"}),
        paper="https://arxiv.org/abs/2209.11055",
    )
