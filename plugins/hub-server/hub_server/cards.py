"""What a repository's card says in its header, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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
        r"\ufeff?\s*---[ \t]*\r?\n(.*?)(?:^---[ \t]*$|\Z)", text, re.DOTALL | re.MULTILINE
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


def faults(card: Mapping[str, Any]) -> list[str]:
    """Return what the Hub would not take in a card's header."""
    found = []
    if not isinstance(card.get("model-index", []), list):
        found.append('"model-index" must be an array')
    texts = ("license_name", "library_name", "pipeline_tag", "base_model_relation")
    found += [f'"{key}" must be a string' for key in texts if not _is(card.get(key), str)]
    found += [
        f'"{key}" must be a string or an array of strings'
        for key in ("tags", "language", "license", "datasets", "base_model")
        if not all(_is(one, str) for one in _items(card, key))
    ]
    return found


def _is(value: object, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def _items(card: Mapping[str, Any], key: str) -> list[Any]:
    value = card.get(key)
    return value if isinstance(value, list) else [value]
