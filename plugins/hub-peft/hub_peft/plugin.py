"""What this plugin provides."""

from collections.abc import Iterator
from typing import Any

from hub_core.spec import Method, hookimpl


def _removes(options: Any) -> frozenset[str]:
    """Say that LoRA with dropout or magnitudes has no form in weight space."""
    hidden = options.dropout > 0 or options.dora
    return frozenset({"frozen-body"} | ({"plain-weights"} if hidden else set()))


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
    yield Method(
        name="lora",
        summary="Low-rank updates beside frozen linear layers",
        factory="hub_peft.lora:Lora",
        options="hub_peft.options:LoraOptions",
        requires=frozenset({"open-body", "linears", "float-weights"}),
        removes=_removes,
        paper="https://arxiv.org/abs/2106.09685",
    )
