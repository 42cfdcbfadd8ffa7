"""One method of each kind."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_backbones() -> Iterator[Method]:
    """Yield the backbone."""
    yield Method(
        name="frozen-stack",
        summary="Random word vectors under two layers",
        factory="hub_frozen.backbone:FrozenStack",
        options="hub_frozen.options:StackOptions",
        provides=frozenset({"text", "layers", "linears", "generates"}),
    )


@hookimpl
def hub_heads() -> Iterator[Method]:
    """Yield the head."""
    yield Method(
        name="frozen-label",
        summary="One label for the mean of a text's vectors",
        factory="hub_frozen.head:FrozenLabel",
        options="hub_core.options:NoOptions",
        requires=frozenset({"text"}),
        provides=frozenset({"scores", "head-weights", "one-label"}),
        pipeline_tag="text-classification",
    )


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategy, which takes every slot."""
    slots = {"free-stages", "free-optimizer", "free-schedule", "free-sampling"}
    yield Method(
        name="frozen-shift",
        summary="A vector is added to what each layer's linear layer gives",
        factory="hub_frozen.strategy:FrozenShift",
        options="hub_frozen.options:ShiftOptions",
        requires=frozenset({"linears", "float-weights", "open-body", *slots}),
        removes=lambda options: frozenset({"frozen-body", *slots}),
        paper="https://arxiv.org/abs/2106.10199",
    )


@hookimpl
def hub_compressors() -> Iterator[Method]:
    """Yield the compressor."""
    yield Method(
        name="frozen-mask",
        summary="Half of each linear layer's weights are masked, and zero in the end",
        factory="hub_frozen.compressor:FrozenMask",
        options="hub_core.options:NoOptions",
        requires=frozenset({"linears", "float-weights", "plain-weights"}),
        removes=frozenset({"hub-frozen:dense"}),
    )
