"""A method's options as text: type, default, bounds and description of every field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub_core.tomltext import toml

if TYPE_CHECKING:
    from pydantic import BaseModel

_TYPES = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "table",
    "null": "nothing",
}
_BOUNDS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "minLength": "length >= {}",
    "maxLength": "length <= {}",
    "minItems": "items >= {}",
    "maxItems": "items <= {}",
    "pattern": "like {}",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a method, or one key of a recipe's section.

    Args:
        name: Its key.
        type: What it takes, in words.
        required: Whether it must be given.
        default: Its default where it need not be; None is no value.
        bounds: What limits it, such as ``>= 1``; empty for nothing.
        description: What it is for.
    """

    name: str
    type: str
    required: bool
    default: Any
    bounds: str
    description: str

    @property
    def default_text(self) -> str:
        """The default as it is written in TOML, or empty."""
        return "" if self.required or self.default is None else toml(self.default)


def options_of(model: type[BaseModel]) -> list[Option]:
    """Return the fields of a pydantic model, in their order."""
    schema = model.model_json_schema()
    shared = schema.get("$defs", {})
    found = []
    for name, field in model.model_fields.items():
        shape = schema["properties"][field.alias or name]
        required = field.is_required()
        default = None if required else field.get_default(call_default_factory=True)
        found.append(
            Option(
                name=field.alias or name,
                type=_type(shape, shared),
                required=required,
                default=default,
                bounds=", ".join(_bounds(shape, shared)),
                description=" ".join((field.description or "").split()),
            )
        )
    return found


def _branches(shape: Mapping[str, Any], shared: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the shapes that a value may have."""
    if "$ref" in shape:
        shape = shared[shape["$ref"].rpartition("/")[2]]
    if "allOf" in shape and len(shape["allOf"]) == 1:
        return _branches(shape["allOf"][0], shared)
    if "anyOf" in shape:
        return [found for branch in shape["anyOf"] for found in _branches(branch, shared)]
    return [shape]


def _type(shape: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_word(b, shared) for b in _branches(shape, shared)))


def _word(shape: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    if "enum" in shape:
        return " | ".join(str(value) for value in shape["enum"])
    if "const" in shape:
        return str(shape["const"])
    if shape.get("type") == "array":
        return f"list of {_type(shape.get('items', {}), shared)}"
    return _TYPES.get(shape.get("type", ""), "anything")


def _bounds(shape: Mapping[str, Any], shared: Mapping[str, Any]) -> list[str]:
    return [
        text.format(branch[key])
        for branch in _branches(shape, shared)
        for key, text in _BOUNDS.items()
        if key in branch
    ]
