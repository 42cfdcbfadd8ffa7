"""A commented recipe as TOML: what was chosen, and every other key as a comment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hub_core.catalog import Catalog
from hub_core.cli.fields import Option, options_of
from hub_core.declare import Kind
from hub_core.recipe import Training
from hub_core.tomltext import toml, toml_key

_TOP = """\
# A recipe for 'hub train': a backbone, a head for every task, strategies and compressors.
# Lines that begin with '#' are defaults or examples: take the '#' away to set them.
# 'hub methods' lists what is installed, 'hub show NAME' explains a method and its options."""
TASK_KEYS = {
    "data": ('"train.csv"', "files, 'data/*.csv' or hub:OWNER/NAME; relative to this file"),
    "validation": ("0.1", "a file, or the share of data that is split off; 0: none"),
    "test": ("0.1", "a file, or the share of data that is split off; 0: none"),
    "columns": ('{ text = "review" }', "role = column, where they have other names"),
    "labels": ('["negative", "positive"]', "labels in order; default: those in the data"),
}
"""Key of a task to an example and what it is."""


def render(values: Mapping[str, Any], catalog: Catalog) -> str:
    """Return a recipe's mapping as commented TOML.

    Raises:
        UnknownMethodError: It chooses a method that is not installed.
    """
    tasks = values.get("tasks") or {"task": {}}
    sections = [
        [_TOP],
        ["# What is the pre-trained model?", *_one("backbone", values, "[backbone]", catalog)],
        *(_task(name, task, catalog) for name, task in tasks.items()),
        [
            "# What is added, and what trains when? In order.",
            *_several("strategy", values.get("strategies"), "[[strategies]]", catalog),
        ],
        [
            "# How does it become smaller and faster? In order.",
            *_several("compressor", values.get("compressors"), "[[compressors]]", catalog),
        ],
        ["[training]", *_keys(options_of(Training), values.get("training", {}))],
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _task(name: str, task: Mapping[str, Any], catalog: Catalog) -> list[str]:
    path = f"tasks.{toml_key(name)}"
    lines = ["# What is predicted, and from which data?", f"[{path}]"]
    for key, (example, meaning) in TASK_KEYS.items():
        lines.append(_line(key, toml(task[key]) if key in task else f"# {example}", meaning))
    others = {key: value for key, value in task.items() if key not in TASK_KEYS and key != "head"}
    lines += [_line(key, toml(value)) for key, value in others.items()]
    return [*lines, "", *_one("head", task, f"[{path}.head]", catalog)]


def _one(kind: Kind, holder: Mapping[str, Any], header: str, catalog: Catalog) -> Iterator[str]:
    if kind in holder:
        yield from _choice(kind, holder[kind], header, catalog)
    else:
        yield from _placeholder(kind, header, catalog)


def _several(kind: Kind, chosen: Any, header: str, catalog: Catalog) -> Iterator[str]:
    for choice in chosen or ():
        yield from _choice(kind, choice, header, catalog)
    if not chosen:
        yield from _placeholder(kind, header, catalog)


def _choice(kind: Kind, choice: Any, header: str, catalog: Catalog) -> Iterator[str]:
    """Yield a chosen method with all of its options."""
    given = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = given.pop("name", "")
    found = catalog.find(kind, name)
    yield header
    yield _line("name", toml(name), found.method.summary)
    yield from _keys(options_of(found.options_class()), given)


def _placeholder(kind: Kind, header: str, catalog: Catalog) -> Iterator[str]:
    """Yield what a choice would look like, with the names that are installed."""
    names = ", ".join(dict.fromkeys(p.method.name for p in catalog.methods(kind)))
    yield f"# {header}"
    yield _line("name", '# "…"', f"one of {names}" if names else f"no {kind} is installed")


def _keys(options: Iterable[Option], given: Mapping[str, Any]) -> Iterator[str]:
    """Yield every option: as given, or as a comment with its default."""
    rest = dict(given)
    for option in options:
        meaning = _meaning(option)
        if option.name in rest:
            yield _line(option.name, toml(rest.pop(option.name)), meaning)
        elif option.required:
            yield _line(option.name, "# …", f"must be given: {meaning}")
        else:
            yield _line(option.name, f"# {option.default_text or '…'}", meaning)
    for name, value in rest.items():  # unknown; 'hub train' says so
        yield _line(name, toml(value))


def _meaning(option: Option) -> str:
    limits = [option.type] if "|" in option.type else []
    limits += [option.bounds] if option.bounds and not option.required else []
    return f"{option.description} ({', '.join(limits)})" if limits else option.description


def _line(key: str, value: str, meaning: str = "") -> str:
    """Return ``key = value  # meaning``, as a comment where the value begins with ``#``."""
    text = f"{toml_key(key)} = {value.removeprefix('# ')}"
    text = f"# {text}" if value.startswith("# ") else text
    return f"{text}  # {meaning}" if meaning else text
