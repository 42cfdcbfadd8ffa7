"""What lists show of a repository: its library, its task and the tags that make it findable."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hub_server import cards

READ = ("README.md", "config.json", "adapter_config.json")
"""The files that are read for it."""

LARGEST = 2 * 1024 * 1024
"""Bytes up to which they are."""

NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def described(kind: str, contents: Mapping[str, str], paths: Collection[str]) -> dict[str, Any]:
    """Return what lists show.

    Args:
        kind: ``model``, ``dataset``, ``space`` or ``kernel``.
        contents: The texts of the files in ``READ``, empty where there is none.
        paths: All files.
    """
    try:
        card = cards.header(contents["README.md"])
    except cards.CardError:
        card = {}
    shown: dict[str, Any] = {"cardData": card}
    if kind == "model":
        config, adapter = _json(contents["config.json"]), _json(contents["adapter_config.json"])
        return shown | _model(card, config, adapter, paths)
    tags = [*_texts(card, "tags"), *_prefixed(card)]
    return shown | {"tags": list(dict.fromkeys(tags))}


def _model(
    card: Mapping[str, Any],
    config: Mapping[str, Any],
    adapter: Mapping[str, Any],
    paths: Collection[str],
) -> dict[str, Any]:
    is_adapter = "adapter_config.json" in paths
    guess = "peft" if is_adapter else "transformers" if "config.json" in paths else None
    library, task = card.get("library_name") or guess, card.get("pipeline_tag")
    found = [library, "safetensors" if any(p.endswith(".safetensors") for p in paths) else None]
    found += [config.get("model_type"), *_texts(card, "tags"), *_texts(card, "language"), task]
    found += [f"license:{name}" for name in _texts(card, "license")]
    found += [f"dataset:{name}" for name in _texts(card, "datasets")]
    relation = card.get("base_model_relation") or ("adapter" if is_adapter else None)
    for base in list(_texts(card, "base_model")) or _base(adapter):
        found += [f"base_model:{base}", f"base_model:{relation}:{base}" if relation else None]
    tags = list(dict.fromkeys(tag for tag in found if isinstance(tag, str) and tag))
    shown = {key: config[key] for key in ("architectures", "model_type") if key in config}
    if is_adapter:
        keys = ("base_model_name_or_path", "task_type")
        shown["peft"] = {key: adapter[key] for key in keys if key in adapter}
    return {"library_name": library, "pipeline_tag": task, "tags": tags, "config": shown or None}


def _base(adapter: Mapping[str, Any]) -> list[str]:
    """Return the model that an adapter names, unless that is a folder of somebody's machine."""
    name = adapter.get("base_model_name_or_path")
    return [name] if isinstance(name, str) and NAME.fullmatch(name) else []


def _prefixed(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tags of data sets and spaces, which say what they are."""
    for key, prefix in (("license", "license"), ("language", "language"),
                        ("task_categories", "task_categories"),
                        ("size_categories", "size_categories")):  # fmt: skip
        yield from (f"{prefix}:{name}" for name in _texts(card, key))


def _texts(card: Mapping[str, Any], key: str) -> Iterator[str]:
    value = card.get(key)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
