"""What this plugin provides."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
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
    yield Method(
        name="encoder-only",
        summary="A probe trains the head, then it is frozen and the encoder trains",
        factory="hub_basics.parts:EncoderOnly",
        options="hub_basics.options:EncoderOnlyOptions",
        requires=frozenset({"open-body", "free-stages", "head-weights"}),
        removes=frozenset({"frozen-body", "free-stages"}),
        paper="https://arxiv.org/abs/2202.10054",
    )
    yield Method(
        name="top-layers",
        summary="The head and the highest layers train",
        factory="hub_basics.parts:TopLayers",
        options="hub_basics.options:TopLayersOptions",
        requires=frozenset({"open-body", "layers"}),
        removes=frozenset({"frozen-body"}),
        paper="https://arxiv.org/abs/1911.03090",
    )
