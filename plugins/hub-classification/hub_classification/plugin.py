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
        options="hub_classification.options:PooledOptions",
        requires=frozenset({"text"}),
        provides=frozenset({"scores", "head-weights", "one-label"}),
    )
    yield Method(
        name="regression",
        summary="A number for a text or a pair of texts",
        factory="hub_classification.heads:Regression",
        options="hub_classification.options:PooledOptions",
        requires=frozenset({"text"}),
        provides=frozenset({"scores", "head-weights"}),
    )
