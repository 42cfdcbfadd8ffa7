"""What this plugin provides."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_compressors() -> Iterator[Method]:
    """Yield the compressors."""
    yield Method(
        name="prune-magnitude",
        summary="Set the smallest weights of linear layers to zero, in one shot",
        factory="hub_prune.magnitude:PruneMagnitude",
        options="hub_prune.options:MagnitudeOptions",
        requires=frozenset({"linears", "float-weights"}),
        paper="https://arxiv.org/abs/1506.02626",
    )
