"""What this plugin provides."""

from collections.abc import Iterator
from typing import Any

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
    yield from _whole()
    yield from _probed()
    yield from _parts()


def _whole() -> Iterator[Method]:
    yield Method(
        name="full",
        summary="Every parameter of backbone and head trains",
        factory="hub_basics.parts:Full",
        options="hub_core.options:NoOptions",
        requires=frozenset({"open-body"}),
        removes=frozenset({"frozen-body"}),
        paper="https://arxiv.org/abs/1810.04805",
    )
    yield Method(
        name="head-only",
        summary="Only the head trains, on the frozen backbone",
        factory="hub_basics.parts:HeadOnly",
        options="hub_core.options:NoOptions",
        requires=frozenset({"frozen-body", "head-weights"}),
        removes=frozenset({"open-body"}),
        paper="https://arxiv.org/abs/1610.01644",
    )


def _probed() -> Iterator[Method]:
    yield Method(
        name="encoder-only",
        summary="The head is a probe or orthogonal, then frozen; the encoder trains",
        factory="hub_basics.encoder_only:EncoderOnly",
        options="hub_basics.options:EncoderOnlyOptions",
        requires=_encoder_only_requires,
        removes=_encoder_only_removes,
        paper="https://arxiv.org/abs/2202.10054",
    )
    yield Method(
        name="lp-ft",
        summary="A probe trains the head, then everything trains from it",
        factory="hub_basics.lp_ft:LpFt",
        options="hub_basics.options:LpFtOptions",
        requires=frozenset({"open-body", "free-stages", "head-weights"}),
        removes=frozenset({"frozen-body", "free-stages"}),
        paper="https://arxiv.org/abs/2202.10054",
    )


def _parts() -> Iterator[Method]:
    yield Method(
        name="top-layers",
        summary="The head and the highest layers train",
        factory="hub_basics.top_layers:TopLayers",
        options="hub_basics.options:TopLayersOptions",
        requires=frozenset({"open-body", "layers"}),
        removes=frozenset({"frozen-body"}),
        paper="https://arxiv.org/abs/1911.03090",
    )
    yield Method(
        name="other-layers",
        summary="The head and named subsets, numbered layers or chosen blocks train",
        factory="hub_basics.other_layers:OtherLayers",
        options="hub_basics.options:OtherLayersOptions",
        requires=_other_layers_requires,
        removes=frozenset({"frozen-body"}),
        paper="https://arxiv.org/abs/2210.11466",
    )
    yield Method(
        name="bitfit",
        summary="The head and the biases train",
        factory="hub_basics.bitfit:BitFit",
        options="hub_basics.options:BitFitOptions",
        requires=_bitfit_requires,
        removes=frozenset({"frozen-body"}),
        paper="https://arxiv.org/abs/2106.10199",
    )
    yield Method(
        name="pooling",
        summary="The head and the pooling layer that comes with the weights train",
        factory="hub_basics.pooling:Pooling",
        options="hub_core.options:NoOptions",
        requires=frozenset({"open-body", "pooler", "backbone-pooling"}),
        removes=frozenset({"frozen-body"}),
        paper="https://arxiv.org/abs/1810.04805",
    )


# -- what depends on the options


def _encoder_only_requires(options: Any) -> frozenset[str]:
    if options.head == "orthogonal":
        return frozenset({"open-body", "head-weights", "linear-output"})
    return frozenset({"open-body", "free-stages", "head-weights"})


def _encoder_only_removes(options: Any) -> frozenset[str]:
    if options.head == "orthogonal":  # then nothing that trains the head can follow
        return frozenset({"frozen-body", "head-weights"})
    return frozenset({"frozen-body", "free-stages"})


def _other_layers_requires(options: Any) -> frozenset[str]:
    linear = {"linears"} if {"attention", "feed-forward"} & set(options.groups) else set()
    return frozenset({"open-body", "layers"} | linear)


def _bitfit_requires(options: Any) -> frozenset[str]:
    return frozenset({"open-body"} if options.which == "all" else {"open-body", "linears"})
