"""The toys as a plugin that no distribution brings: the suites offer it while they run."""

from __future__ import annotations

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl

HERE = "hub_core.testing.toys"
NOTHING = "hub_core.options:NoOptions"
BODY = "hub_core.testing.toys.options:BodyOptions"


@hookimpl
def hub_backbones() -> Iterator[Method]:
    """Yield stacks of layers that attend, one of them with a pooler, and one that recurs."""
    yield Method(
        name="toy-stack",
        summary="Two layers that attend in both directions",
        factory=f"{HERE}.backbones:ToyStack",
        options=BODY,
    )
    yield Method(
        name="toy-pooled",
        summary="The same, with a pooling layer of its own",
        factory=f"{HERE}.backbones:ToyPooled",
        options=BODY,
    )
    yield Method(
        name="toy-causal",
        summary="Two layers that attend backwards, and generate",
        factory=f"{HERE}.backbones:ToyCausal",
        options=BODY,
    )
    yield Method(
        name="toy-recurrent",
        summary="A recurrent layer, with nothing to adapt in it",
        factory=f"{HERE}.backbones:ToyRecurrent",
        options=BODY,
    )


@hookimpl
def hub_heads() -> Iterator[Method]:
    """Yield a head over a whole text and one over its words."""
    yield Method(
        name="toy-label",
        summary="One label for a text",
        factory=f"{HERE}.heads:ToyLabel",
        options=NOTHING,
        requires=frozenset({"text"}),
        provides=frozenset(
            {"scores", "head-weights", "linear-output", "one-label", "backbone-pooling"}
        ),
    )
    yield Method(
        name="toy-words",
        summary="One label for every word",
        factory=f"{HERE}.heads:ToyWords",
        options=NOTHING,
        requires=frozenset({"text", "hub-testing:words"}),
        provides=frozenset({"head-weights"}),
    )


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield one that opens everything, one that adds beside layers, and one around the body."""
    yield Method(
        name="toy-open",
        summary="Everything trains",
        factory=f"{HERE}.strategies:Open",
        options=NOTHING,
        requires=frozenset({"open-body"}),
        removes=frozenset({"frozen-body"}),
    )
    yield Method(
        name="toy-beside",
        summary="A trained vector is added beside linear layers",
        factory=f"{HERE}.strategies:Beside",
        options=NOTHING,
        requires=frozenset({"open-body", "linears", "float-weights"}),
        removes=frozenset({"frozen-body"}),
    )
    yield Method(
        name="toy-thaw",
        summary="Layers begin to train one after the other, from the top",
        factory=f"{HERE}.strategies:Thaw",
        options=NOTHING,
        requires=frozenset({"open-body", "layers", "free-schedule"}),
        removes=frozenset({"frozen-body", "free-schedule"}),
    )


@hookimpl
def hub_compressors() -> Iterator[Method]:
    """Yield one that masks while training, one that cuts before it, and one that rounds after."""
    yield Method(
        name="toy-mask",
        summary="Small weights are masked during training, and zero in the end",
        factory=f"{HERE}.compressors:Mask",
        options=NOTHING,
        requires=frozenset({"linears", "float-weights", "plain-weights"}),
    )
    yield Method(
        name="toy-cut",
        summary="Half of the feed-forward channels are cut before training",
        factory=f"{HERE}.compressors:Cut",
        options=NOTHING,
        requires=frozenset({"linears", "float-weights", "free-heads"}),
    )
    yield Method(
        name="toy-round",
        summary="Weights are kept in half precision after training",
        factory=f"{HERE}.compressors:Round",
        options=NOTHING,
        requires=frozenset({"linears", "float-weights"}),
        removes=frozenset({"float-weights", "plain-weights", "free-heads"}),
    )
