"""What this plugin provides."""

from collections.abc import Callable, Iterator
from typing import Any

from hub_core.spec import Method, hookimpl


def _needs(options: Any) -> frozenset[str]:
    """Return what a head requires of the backbone."""
    return frozenset({"text", "pooler"} if options.pooling == "pooler" else {"text"})


def _gives(*more: str) -> Callable[[Any], frozenset[str]]:
    """Return what a head provides, by its options."""
    always = frozenset({"scores", "head-weights", "linear-output", *more})

    def provided(options: Any) -> frozenset[str]:
        return always | ({"backbone-pooling"} if options.pooling in ("auto", "pooler") else set())

    return provided


@hookimpl
def hub_heads() -> Iterator[Method]:
    """Yield the heads."""
    yield Method(
        name="classification",
        summary="One label for a text or a pair of texts",
        factory="hub_classification.heads:Classification",
        options="hub_classification.options:ClassificationOptions",
        requires=_needs,
        provides=_gives("one-label"),
        pipeline_tag="text-classification",
    )
    yield Method(
        name="multi-label",
        summary="Any number of labels for a text or a pair of texts",
        factory="hub_classification.multilabel:MultiLabel",
        options="hub_classification.options:MultiLabelOptions",
        requires=_needs,
        provides=_gives(),
        pipeline_tag="text-classification",
    )
    yield Method(
        name="regression",
        summary="A number for a text or a pair of texts",
        factory="hub_classification.heads:Regression",
        options="hub_classification.options:PooledOptions",
        requires=_needs,
        provides=_gives(),
        pipeline_tag="text-classification",
    )
