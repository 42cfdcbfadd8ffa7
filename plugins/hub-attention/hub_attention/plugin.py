"""What this plugin provides."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_heads() -> Iterator[Method]:
    """Yield the heads."""
    yield from ()
