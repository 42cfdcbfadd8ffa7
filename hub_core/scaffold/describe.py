"""What an installed plugin says of its methods, as a registry holds it; no method is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub_core.catalog import Provided, installed


def methods_of(plugins: Iterable[str]) -> list[dict[str, Any]]:
    """Return the methods of some plugins with their options and tags, by kind and name.

    Args:
        plugins: The names of entry points.
    """
    wanted = set(plugins)
    return [described(found) for found in installed().methods() if found.plugin.name in wanted]


def described(provided: Provided) -> dict[str, Any]:
    """Return a method; where tags depend on options, those of the default options."""
    model, method = provided.options_class(), provided.method
    defaults = model.model_construct()
    tags = {which: getattr(method, which) for which in ("requires", "provides", "removes")}
    return {
        "kind": provided.kind,
        "name": method.name,
        "summary": method.summary,
        "options": inlined(model.model_json_schema()),
        "paper": method.paper,
    } | {which: sorted(t(defaults) if callable(t) else t) for which, t in tags.items()}


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema whose references are replaced by what they lead to."""
    shared = schema.get("$defs", {})

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            value = shared[value["$ref"].rpartition("/")[2]] | value
        return {key: plain(item) for key, item in value.items() if key not in ("$ref", "$defs")}

    return {key: plain(value) for key, value in schema.items() if key != "$defs"}
