"""``--set KEY=VALUE``: one value anywhere in a recipe's mapping.

A key begins with ``training``, ``backbone``, ``tasks.NAME``, or the name of a method that the
recipe chooses, such as ``lora.r``.
"""

from __future__ import annotations

import tomllib
from typing import Any

from hub_core.errors import RecipeError, near

_SECTIONS = ("training", "backbone", "tasks")
_CHOICES = ("backbone", "head")


def assign(values: dict[str, Any], setting: str) -> None:
    """Put the value of ``KEY=VALUE`` into a recipe's mapping.

    Raises:
        RecipeError: It does not read like that, or the key leads nowhere.
    """
    key, sign, text = setting.partition("=")
    first, *rest = key.split(".")
    if not sign or not all((first, *rest)):
        raise RecipeError(
            f"--set {setting}: must read KEY=VALUE",
            hint="such as --set training.epochs=5 or --set METHOD.OPTION=VALUE",
        )
    needed = 2 if first == "tasks" else 1
    if len(rest) < needed:
        form = "tasks.TASK.KEY" if first == "tasks" else f"{first}.KEY"
        raise RecipeError(f"--set {setting}: the key is too short", hint=f"write {form}=VALUE")
    table = table_in(values, first) if first in _SECTIONS else _chosen(values, first, setting)
    above = f"{first}."
    for name in rest[:-1]:
        table, above = table_in(table, name, above), f"{above}{name}."
    table[rest[-1]] = value_of(text)


def value_of(text: str) -> Any:
    """Return a text as the TOML value that it is, or as itself."""
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = found["value"]
    plain = isinstance(value, bool | int | float | str | list | dict)
    return value if plain and len(found) == 1 else text


def table_in(holder: dict[str, Any], key: str, above: str = "") -> dict[str, Any]:
    """Return the table at a key, made if it is missing; a method's bare name becomes a table.

    Raises:
        RecipeError: Something else is there.
    """
    value = holder.setdefault(key, {})
    if key in _CHOICES and isinstance(value, str):
        value = holder[key] = {"name": value}
    if not isinstance(value, dict):
        raise RecipeError(f"{above}{key}: must be a table, not {value!r}")
    return value


def same(first: str, second: str) -> bool:
    """Return whether two names mean one method, where either may leave out the plugin."""
    plugin, _, name = first.rpartition(":")
    other, _, bare = second.rpartition(":")
    return name == bare and (plugin == other or not plugin or not other)


def choices(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return every method that a recipe's mapping chooses: its place, and it as a table."""
    found = []
    if "backbone" in values:
        found.append(("backbone", table_in(values, "backbone")))
    tasks = values.get("tasks")
    for name in tasks if isinstance(tasks, dict) else ():
        task = table_in(values["tasks"], name, "tasks.")
        if "head" in task:
            found.append((f"tasks.{name}.head", table_in(task, "head", f"tasks.{name}.")))
    for key in ("strategies", "compressors"):
        listed = values.get(key)
        if isinstance(listed, list):
            listed[:] = [{"name": c} if isinstance(c, str) else c for c in listed]
            found += [(f"{key}[{i}]", c) for i, c in enumerate(listed) if isinstance(c, dict)]
    return found


def _chosen(values: dict[str, Any], name: str, setting: str) -> dict[str, Any]:
    """Return the one choice of a method's name."""
    everything = choices(values)
    found = [(place, table) for place, table in everything if same(str(table.get("name")), name)]
    if len(found) == 1:
        return found[0][1]
    if found:
        places = [place for place, _ in found]
        heads = [place for place in places if place.startswith("tasks.")]
        hint = " or ".join(f"{place}.KEY" for place in heads)
        raise RecipeError(
            f"--set {setting}: the recipe chooses {name} at {' and '.join(places)}",
            hint=f"write {hint}" if heads == places else "set it in the recipe's file",
        )
    known = [str(table["name"]) for _, table in everything if "name" in table]
    hint = near(name, [*_SECTIONS, *known])
    rest = f"keys begin with {', '.join([*_SECTIONS, *dict.fromkeys(known)])}"
    raise RecipeError(f"--set {setting}: the recipe chooses no '{name}'", hint=hint or rest)
