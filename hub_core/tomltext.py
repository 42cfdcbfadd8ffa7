"""Plain data as TOML: what ``hub train`` reads back, in characters that show as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SURROGATES = range(0xD800, 0xE000)


def toml(value: Any) -> str:
    """Return a value as TOML writes it; keys that have none are left out."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{toml_key(k)} = {toml(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return f"[{', '.join(toml(item) for item in value if item is not None)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return "".join(map(_letter, json.dumps(str(value), ensure_ascii=False)))


def _letter(char: str) -> str:
    """Return a letter as it is, or escaped where it would not show, or would turn the text."""
    if char.isprintable():
        return char
    number = 0xFFFD if ord(char) in _SURROGATES else ord(char)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def toml_key(key: str) -> str:
    """Return a key as TOML writes it."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else toml(key)


def recipe_toml(recipe: Mapping[str, Any]) -> str:
    """Return a recipe's mapping as TOML, without keys that have no value."""
    sections = [_table("backbone", recipe["backbone"])]
    sections += [_table(f"tasks.{toml_key(n)}", task) for n, task in recipe["tasks"].items()]
    for key in ("strategies", "compressors"):
        sections += [_table(f"[{key}]", choice) for choice in recipe.get(key, ())]
    if training := recipe.get("training"):
        sections.append(_table("training", training))
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _table(name: str, values: Any) -> Iterator[str]:
    """Yield a table; a method that is only named is a table with its name."""
    yield f"[{name}]"
    for key, value in ({"name": values} if isinstance(values, str) else values).items():
        if value is not None and value != {}:
            yield f"{toml_key(key)} = {toml(value)}"
