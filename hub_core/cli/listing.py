"""How what a registry lists is told: options, facts, and how a plugin gets here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hub_core.cli.fields import Option, _bounds, _type, options_of
from hub_core.cli.output import printable
from hub_core.tomltext import toml

if TYPE_CHECKING:
    from hub_core.available import Available
    from hub_core.registry import OptionsEntry


OPTION_HEADER = ("name", "type", "default", "bounds", "description")
_TABLES = {
    "backbone": "[backbone]",
    "head": "[tasks.task.head]",
    "strategy": "[[strategies]]",
    "compressor": "[[compressors]]",
}
_FLAGS = {
    "backbone": "--backbone",
    "head": "--head",
    "strategy": "--strategy",
    "compressor": "--compress",
}


def options_for(one: Available) -> list[Option]:
    """Return a method's options: the installed plugin's own, else those that are listed."""
    if one.provided is not None:
        return options_of(one.provided.options_class())
    return options_in(one.entry.options) if one.entry is not None else []


def example_of(one: Available, name: str, options: list[Option]) -> str:
    """Return a piece of a recipe: what must be given, else the first option with a default."""
    shown = [f'{option.name} = "…"' for option in options if option.required]
    first = next((option for option in options if option.default_text), None)
    if not shown and first is not None:
        shown = [f"{first.name} = {first.default_text}"]
    return "\n".join([_TABLES[one.kind], f"name = {toml(name)}", *shown])


def start_of(one: Available, name: str) -> str:
    """Return the command that writes a whole commented recipe with the method."""
    return f"hub init {_FLAGS[one.kind]} {name}"


def options_in(entry: OptionsEntry) -> list[Option]:
    """Return the options that a registry lists for a method."""
    found = []
    for name, shape in entry.properties.items():
        schema = shape.schema_of()
        found.append(
            Option(
                name=name,
                type=_type(schema, {}),
                required=name in entry.required,
                default=schema.get("default"),
                bounds=", ".join(_bounds(schema, {})),
                description=" ".join(shape.description.split()),
            )
        )
    return found


def option_rows(options: list[Option]) -> list[tuple[str, str, str, str, str]]:
    """Return name, type, default, bounds and description of every option."""
    return [
        (o.name, o.type, "must be given" if o.required else o.default_text, o.bounds, o.description)
        for o in options
    ]


def fact_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was measured, and with which versions; nothing where nothing was."""
    if not facts or facts["reason"]:
        return []
    rows = [(words(name), _value(value)) for name, value in facts["measured"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [*((name, value) for name, value in rows if value), ("measured with", versions)]


def facts_in_short(facts: Mapping[str, Any]) -> str:
    """Return what holds and what does not, in a line."""
    measured = facts.get("measured", {})
    holds = [words(name) for name, value in measured.items() if value is True]
    fails = [f"not: {words(name)}" for name, value in measured.items() if value is False]
    return ", ".join([*holds, *fails])


def words(name: str) -> str:
    """Return a key as words."""
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, dict):
        return "; ".join(f"{words(str(key))}: {_value(inner)}" for key, inner in value.items())
    return "unknown" if value is None else str(value)


def standing(one: Available) -> str:
    """Return whether it is installed, in words."""
    return {"available": "not installed"}.get(one.state, one.state)


def next_step(one: Available) -> str:
    """Return how a method that cannot be used here gets usable."""
    if one.install:
        return f"install it with\n  {one.install}"
    return f"why it cannot be used\n  {one.plugin} is {one.state}: {printable(one.reason)}"


def block(one: Available) -> str:
    """Return what a search tells of one find, on several lines."""
    head = f"{one.name}  {one.kind} of {one.plugin} {one.version}, {standing(one)}"
    rows = [("needs", ", ".join(one.tags.get("requires", ()))), ("paper", one.paper)]
    rows += [("facts", facts_in_short(one.facts))]
    if one.install and one.listed is not None:
        rows += [
            ("install", one.install),
            ("from", one.source),
            ("listed in", one.provenance),
        ]
    lines = [one.summary, *(f"{name:9}  {value}" for name, value in rows if value)]
    return "\n".join([printable(head), *(f"  {printable(line)}" for line in lines)])
