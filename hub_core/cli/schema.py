"""``hub schema``: what a recipe may hold as a JSON Schema, so that editors complete and check it.

The recipe's own keys come from its pydantic model. Every place where a method is chosen lists the
installed ones, each with its options, defaults, bounds and descriptions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from hub_core.catalog import Catalog, Provided, installed
from hub_core.declare import KINDS, Kind
from hub_core.errors import PluginError, RecipeError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "hub-core recipe"
FILE = "recipe.schema.json"
"""The name that ``hub init`` looks for beside a recipe."""

Schema = dict[str, Any]


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Write it there; beside a recipe as {FILE}, 'hub init' refers to it.",
)
def schema(out: Path | None) -> None:
    """Print the JSON Schema of a recipe, for editors.

    It lists the methods of the plugins that are installed now: write it again after installing
    others.
    """
    from hub_core.cli.output import complaints, echo_json

    catalog = installed()
    found = recipe_schema(catalog)
    for sentence in complaints(catalog.plugins()):
        click.echo(sentence, err=True)
    if out is None:
        echo_json(found)
        return
    _write(out, found)
    click.echo(
        f"Wrote {out}. Editors find it by a recipe's first line: #:schema ./{out.name}", err=True
    )


def recipe_schema(catalog: Catalog) -> Schema:
    """Return the JSON Schema (draft 2020-12) of recipes over the methods of a catalog."""
    from hub_core.cli.template import TASK_KEYS
    from hub_core.recipe import TASK_NAME, Recipe

    found: Schema = Recipe.model_json_schema()
    shared = found["$defs"]
    shared.pop("Choice")
    for kind in KINDS:
        shared |= dict(_definitions(kind, catalog))
    top = found["properties"]
    top["backbone"] = {"$ref": _place("backbone")}
    task = shared["TaskRecipe"]["properties"]
    task["head"] = {"$ref": _place("head")}
    for key, (_, meaning) in TASK_KEYS.items():
        task[key]["description"] = meaning
    for key, one in (("strategies", "strategy"), ("compressors", "compressor")):
        top[key]["items"] = {"$ref": _place(one)}
    top["tasks"]["propertyNames"] = {"pattern": f"^{TASK_NAME.pattern}$"}
    whole = {"$schema": DIALECT, "title": TITLE, **{k: v for k, v in found.items() if k != "title"}}
    return dict(_tidy(whole))


def _place(name: str) -> str:
    return f"#/$defs/{name}"


def _definitions(kind: Kind, catalog: Catalog) -> Iterator[tuple[str, Schema]]:
    """Yield the schema of a choice of a kind, and those of its methods."""
    methods = catalog.methods(kind)
    bare = [provided.method.name for provided in methods]
    places: list[Schema] = []
    alone: list[str] = []
    for provided in methods:
        names = [provided.full_name]
        if bare.count(provided.method.name) == 1:
            names.insert(0, provided.method.name)
        shared, found = _method(provided, names)
        yield from shared.items()
        yield _key(provided), found
        places.append({"$ref": _place(_key(provided))})
        alone += names if found["required"] == ["name"] else []
    if alone:
        told = f"a {kind} with its default options"
        places.append({"type": "string", "enum": alone, "description": told})
    yield kind, {"oneOf": places} if places else {"not": {}}


def _key(provided: Provided) -> str:
    return f"{provided.kind}.{provided.plugin.name}.{provided.method.name}"


def _method(provided: Provided, names: list[str]) -> tuple[Schema, Schema]:
    """Return shared definitions and the schema of a method as a table with its options."""
    start = _key(provided)
    method = provided.method
    try:
        options = provided.options_class().model_json_schema(
            ref_template=_place(f"{start}.{{model}}")
        )
    except PluginError:  # 'hub methods' tells; its options cannot be known
        options = {"type": "object"}
    shared = {f"{start}.{key}": value for key, value in options.pop("$defs", {}).items()}
    name = {"type": "string", "enum": names, "description": method.summary}
    paper = f" ({method.paper})" if method.paper else ""
    return shared, {
        **options,
        "title": method.name,
        "description": f"{method.summary}{paper}",
        "properties": {"name": name, **options.get("properties", {})},
        "required": ["name", *options.get("required", [])],
    }


def _tidy(value: Any, *, names: bool = False) -> Any:
    """Leave out what says nothing in TOML: titles made of names, and null, which TOML lacks.

    Args:
        value: A part of the schema.
        names: Whether its keys are names that somebody chose, not words of JSON Schema.
    """
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if isinstance(value, str):
        return value.replace("``", "`")  # descriptions are Markdown to editors
    if not isinstance(value, Mapping):
        return value
    kept = {
        key: _tidy(item, names=not names and key in ("properties", "$defs"))
        for key, item in value.items()
        if names or not _empty(key, item, value)
    }
    return kept if names else _without_null(kept)


def _empty(key: str, item: Any, holder: Mapping[str, Any]) -> bool:
    made = key == "title" and "properties" not in holder
    return made or (key == "default" and item is None)


def _without_null(value: Schema) -> Schema:
    branches = [branch for branch in value.get("anyOf", []) if branch != {"type": "null"}]
    if len(branches) == len(value.get("anyOf", [])):
        return value
    rest = {key: item for key, item in value.items() if key != "anyOf"}
    return {**branches[0], **rest} if len(branches) == 1 else {"anyOf": branches, **rest}


def _write(path: Path, content: Schema) -> None:
    """Write the schema; only an older schema is replaced."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        if path.exists() and not _is_schema(path):
            raise RecipeError(
                f"{path} exists and is no schema of recipes", hint="choose another name for --out"
            )
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path} cannot be written: {error.strerror}") from None


def _is_schema(path: Path) -> bool:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("title") == TITLE
