"""Searching: artifacts on the Hub by words, task, backbone and method, with their metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hub_core.remote.connection import connected
from hub_core.remote.patience import patiently

OURS = "hub-core"
"""The tag of every artifact that was published with this library."""
_BASE = "base_model:"


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; every given field must fit.

    Args:
        words: Words of the name.
        task: A task of the Hub, such as text-classification, or the name of a head.
        backbone: The Hub id of the backbone.
        methods: Names of strategies and compressors.
        everything: Also what other libraries published.
        limit: At most so many.
    """

    words: str = ""
    task: str = ""
    backbone: str = ""
    methods: tuple[str, ...] = ()
    everything: bool = False
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Found:
    """A repository that fits; metrics by name, of the split that was measured last."""

    name: str
    task: str
    backbones: tuple[str, ...]
    tags: tuple[str, ...]
    metrics: Mapping[str, float]
    license: str
    downloads: int
    modified: str
    private: bool


def search(query: Query) -> list[Found]:
    """Return what fits, the newest first.

    Raises:
        RemoteError: The Hub cannot be asked.
    """
    tags = [] if query.everything else [OURS]
    tags += [query.task] if query.task else []
    tags += [f"{_BASE}{query.backbone}"] if query.backbone else []
    tags += query.methods
    with connected() as (api, _):
        found = patiently(
            "the search",
            lambda: list(
                api.list_models(
                    filter=tags or None,
                    search=query.words or None,
                    sort="last_modified",
                    limit=query.limit,
                    full=True,
                    cardData=True,
                )
            ),
            pauses=(),
        )
    return [_found(info) for info in found]


def _found(info: Any) -> Found:
    tags = tuple(info.tags or ())
    bases = (tag.removeprefix(_BASE) for tag in tags if tag.startswith(_BASE))
    return Found(
        name=info.id,
        task=info.pipeline_tag or "",
        backbones=tuple(base for base in bases if ":" not in base),
        tags=tuple(tag for tag in tags if ":" not in tag and tag != OURS),
        metrics=dict(metrics_of(info.card_data)),
        license=next((t.partition(":")[2] for t in tags if t.startswith("license:")), ""),
        downloads=info.downloads or 0,
        modified=info.last_modified.date().isoformat() if info.last_modified else "",
        private=bool(info.private),
    )


def metrics_of(card: Any) -> Iterator[tuple[str, float]]:
    """Yield the metrics that a card claims, the test split's where it has several.

    Args:
        card: The card's data as huggingface_hub reads them, or None.
    """
    results = list(getattr(card, "eval_results", None) or ())
    splits = [result.dataset_split for result in results]
    wanted = "test" if "test" in splits else (splits[-1] if splits else None)
    for result in results:
        value = result.metric_value
        if result.dataset_split == wanted and isinstance(value, int | float):
            yield str(result.metric_type), float(value)
