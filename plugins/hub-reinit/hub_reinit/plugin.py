"""What this plugin provides."""

from collections.abc import Iterator
from typing import Any

from hub_core.spec import Method, hookimpl

PLACES = {
    "head": {"head-weights"},
    "pooler": {"open-body", "pooler"},
    "top-layers": {"open-body", "layers"},
}
METHODS = {"class-means": {"linear-output", "one-label"}, "probe": {"linear-output"}}


def _requires(options: Any) -> frozenset[str]:
    """Say what is needed by the places, and by methods that compute a head."""
    return frozenset(METHODS.get(options.method, set())).union(*(PLACES[p] for p in options.what))


def _removes(options: Any) -> frozenset[str]:
    """Say that what is drawn anew of the backbone trains."""
    return frozenset({"frozen-body"} if set(options.what) - {"head"} else set())


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
    yield Method(
        name="reinit",
        summary="Top layers, pooler or head start anew, drawn or computed",
        factory="hub_reinit.part:Reinit",
        options="hub_reinit.options:ReinitOptions",
        requires=_requires,
        removes=_removes,
        paper="https://arxiv.org/abs/2006.05987",
    )
