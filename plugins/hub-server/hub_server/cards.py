"""What a repository's card says, and the tags that make it findable."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]

LONGEST = 256 * 1024
"""Characters of a card's header."""


class CardError(ValueError):
    """A card's header is not what it should be."""


class _Plain(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without aliases, a few of which can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not accepted")
        return super().compose_node(parent, index)


def header(text: str) -> dict[str, Any]:
    """Return the YAML between the two lines of dashes at the start; empty where there is none.

    Raises:
        CardError: It cannot be read.
    """
    found = re.match(
        r"\ufeff?---[ \t]*\r?\n(.*?)(?:^---[ \t]*$|\Z)", text, re.DOTALL | re.MULTILINE
    )
    if not found:
        return {}
    if len(found[1]) > LONGEST:
        raise CardError(f"The card's header has more than {LONGEST} characters.")
    try:
        value = yaml.load(found[1], _Plain) or {}
        value = json.loads(json.dumps(value, default=str))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise CardError(f"The card's header is not YAML: {error}") from error
    if not isinstance(value, dict):
        raise CardError("The card's header must hold names with values.")
    return value


def described(card: Mapping[str, Any], paths: Collection[str]) -> dict[str, Any]:
    """Return a repository's library, task and tags.

    Args:
        card: Its card's header.
        paths: Its files.
    """
    adapter = "adapter_config.json" in paths
    guess = "peft" if adapter else "transformers" if "config.json" in paths else None
    library, task = card.get("library_name") or guess, card.get("pipeline_tag")
    relation = card.get("base_model_relation") or ("adapter" if adapter else None)
    found = [library, "safetensors" if any(p.endswith(".safetensors") for p in paths) else None]
    found += [*_texts(card, "tags"), *_texts(card, "language"), task]
    found += [f"license:{name}" for name in _texts(card, "license")]
    found += [f"dataset:{name}" for name in _texts(card, "datasets")]
    for base in _texts(card, "base_model"):
        found += [f"base_model:{base}", f"base_model:{relation}:{base}" if relation else None]
    tags = list(dict.fromkeys(tag for tag in found if isinstance(tag, str) and tag))
    return {"library_name": library, "pipeline_tag": task, "tags": tags}


def _texts(card: Mapping[str, Any], key: str) -> Iterator[str]:
    value = card.get(key)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item
