"""What this plugin provides."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
    yield from ()
