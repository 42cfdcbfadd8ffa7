"""What this plugin provides."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_heads() -> Iterator[Method]:
    """Yield the heads."""
    yield Method(
        name="classification",
        summary="One label for a text or a pair of texts",
        factory="hub_classification.heads:Classification",
        options="hub_classification.options:ClassificationOptions",
        requires=frozenset({"text"}),
        provides=frozenset({"scores", "head-weights", "linear-output", "one-label"}),
        pipeline_tag="text-classification",
    )
    yield Method(
        name="multi-label",
        summary="Any number of labels for a text or a pair of texts",
        factory="hub_classification.multilabel:MultiLabel",
        options="hub_classification.options:MultiLabelOptions",
        requires=frozenset({"text"}),
        provides=frozenset({"scores", "head-weights", "linear-output"}),
        pipeline_tag="text-classification",
    )
    yield Method(
        name="regression",
        summary="A number for a text or a pair of texts",
        factory="hub_classification.heads:Regression",
        options="hub_classification.options:PooledOptions",
        requires=frozenset({"text"}),
        provides=frozenset({"scores", "head-weights", "linear-output"}),
        pipeline_tag="text-classification",
    )
