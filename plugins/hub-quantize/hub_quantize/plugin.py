"""What this plugin provides."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_compressors() -> Iterator[Method]:
    """Yield the compressors."""
    yield Method(
        name="quantize-int8",
        summary="Linear layers keep their weights as 8-bit integers",
        factory="hub_quantize.int8:QuantizeInt8",
        options="hub_quantize.options:Int8Options",
        requires=frozenset({"linears", "float-weights"}),
        removes=frozenset({"float-weights", "plain-weights", "free-heads"}),
        paper="https://arxiv.org/abs/1712.05877",
    )
