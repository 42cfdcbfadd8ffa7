"""``hub show``: one method with its tags, its options and an example."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

import click

from hub_core.catalog import Catalog, Provided, installed
from hub_core.cli.fields import Option, options_of
from hub_core.cli.options import json_flag
from hub_core.cli.output import complaints, echo_json, table
from hub_core.declare import KINDS, Kind, meaning
from hub_core.errors import AmbiguousMethodError, UnknownMethodError, near
from hub_core.tomltext import toml

_TABLES = {
    "backbone": "[backbone]",
    "head": "[tasks.task.head]",
    "strategy": "[[strategies]]",
    "compressor": "[[compressors]]",
}


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Where several kinds have the name.")
@json_flag
def show(name: str, kind: Kind | None, as_json: bool) -> None:
    """Explain a method and all of its options.

    NAME is a method's name, or PLUGIN:NAME where several plugins provide it.
    """
    provided = find(installed(), name, kind)
    options = options_of(provided.options_class())
    tags = {which: _tags(provided, which) for which in ("requires", "provides", "removes")}
    example = _example(provided, name, options)
    if as_json:
        echo_json(
            _head(provided)
            | tags
            | {"options": [asdict(option) for option in options], "example": example}
        )
        return
    method, plugin = provided.method, provided.plugin
    click.echo(f"{method.name}: {method.summary}\n")
    rows = [("kind", provided.kind), ("plugin", f"{plugin.name} {plugin.version}")]
    rows += [("paper", method.paper)] if method.paper else []
    click.echo(table(rows))
    for which, meanings in tags.items():
        if meanings:
            click.echo(f"\n{which}\n{_indented(table(meanings.items()))}")
    if options:
        click.echo(f"\noptions\n{_indented(_options_table(options))}")
    click.echo(f"\nin a recipe\n{_indented(example)}")


def find(catalog: Catalog, name: str, kind: Kind | None) -> Provided:
    """Return the method that a name means, of whatever kind.

    Raises:
        UnknownMethodError: No plugin provides it.
        AmbiguousMethodError: Several kinds or plugins have the name.
        PluginError: The plugin named before the colon cannot be used.
    """
    bare = name.rpartition(":")[2]
    kinds = [k for k in KINDS if any(p.method.name == bare for p in catalog.methods(k))]
    if kind is not None or len(kinds) == 1:
        return catalog.find(kind or kinds[0], name)
    if kinds:
        raise AmbiguousMethodError(
            f"there is a {' and a '.join(kinds)} named '{name}'",
            hint=f"add {' or '.join(f'--kind {k}' for k in kinds)}",
        )
    with suppress(UnknownMethodError):
        catalog.find("backbone", name)  # tells what is wrong with the plugin, if one is named
    hints = [near(bare, (p.method.name for p in catalog.methods()))]
    hints += [*complaints(catalog.plugins()), "'hub methods' lists what is installed"]
    raise UnknownMethodError(
        f"no installed plugin provides a method named '{bare}'", hint="; ".join(filter(None, hints))
    )


def _head(provided: Provided) -> dict[str, Any]:
    return {
        "name": provided.method.name,
        "kind": provided.kind,
        "summary": provided.method.summary,
        "plugin": provided.plugin.name,
        "distribution": provided.plugin.distribution,
        "version": provided.plugin.version,
        "paper": provided.method.paper,
    }


def _tags(provided: Provided, which: str) -> dict[str, str]:
    """Return tag to meaning, for the default options where the tags depend on them."""
    tags = getattr(provided.method, which)
    found = tags(provided.options_class().model_construct()) if callable(tags) else tags
    note = " (with the default options)" if callable(tags) else ""
    return {tag: meaning(tag) + note for tag in sorted(found)}


def _options_table(options: list[Option]) -> str:
    rows = [
        (o.name, o.type, "must be given" if o.required else o.default_text, o.bounds, o.description)
        for o in options
    ]
    return table(rows, ("name", "type", "default", "bounds", "description"))


def _example(provided: Provided, name: str, options: list[Option]) -> str:
    """Return a piece of a recipe: what must be given, else the first option with a default."""
    shown = [f'{option.name} = "…"' for option in options if option.required]
    first = next((option for option in options if option.default_text), None)
    if not shown and first is not None:
        shown = [f"{first.name} = {first.default_text}"]
    return "\n".join([_TABLES[provided.kind], f"name = {toml(name)}", *shown])


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
