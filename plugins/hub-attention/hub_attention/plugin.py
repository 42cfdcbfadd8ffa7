"""What this plugin provides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hub_core.spec import Method, hookimpl

if TYPE_CHECKING:
    from hub_attention.options import AttentionOptions


def _required(options: AttentionOptions) -> frozenset[str]:
    return frozenset({"text", "layers"} if options.mix else {"text"})


def _provided(options: AttentionOptions) -> frozenset[str]:
    shown = {"shows-attention"} if options.pooling not in ("concat", "gem") else set()
    return frozenset({"scores", "head-weights", "linear-output", "one-label", *shown})


@hookimpl
def hub_heads() -> Iterator[Method]:
    """Yield the head."""
    yield Method(
        name="attention-classification",
        summary="One label for a text or a pair, from the words it learns to attend to",
        factory="hub_attention.heads:AttentionClassification",
        options="hub_attention.options:AttentionOptions",
        requires=_required,
        provides=_provided,
        pipeline_tag="text-classification",
        paper="https://arxiv.org/abs/1703.03130",
    )
