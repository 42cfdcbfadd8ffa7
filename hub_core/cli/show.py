"""``hub show``: one method with its tags, its options and an example, installed or not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hub_core.catalog import Catalog, Provided, installed
from hub_core.cli.listing import (
    OPTION_HEADER,
    example_of,
    fact_rows,
    next_step,
    option_rows,
    options_for,
    standing,
    start_of,
)
from hub_core.cli.options import json_flag
from hub_core.cli.output import complaints, echo_json, printable, table
from hub_core.cli.registries import opened, registry_flags
from hub_core.declare import KINDS, TAGS, Kind, meaning
from hub_core.errors import AmbiguousMethodError, PluginError, UnknownMethodError, near

if TYPE_CHECKING:
    from hub_core.available import Available
    from hub_core.registry import Registry


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Where several kinds have the name.")
@registry_flags
@json_flag
def show(
    name: str,
    kind: Kind | None,
    registries: tuple[str, ...],
    yes: bool,
    accept: bool,
    as_json: bool,
) -> None:
    """Explain a method and all of its options.

    NAME is a method's name, or PLUGIN:NAME where several plugins provide it. It need not be
    installed, if a registry lists it.
    """
    one = anywhere(installed(), opened(registries, yes=yes, accept=accept), name, kind)
    options = options_for(one)
    tags = {which: _tags(one, which) for which in ("requires", "provides", "removes")}
    example, start = example_of(one, name, options), start_of(one, name)
    if as_json:
        head = {key: value for key, value in one.json().items() if key not in tags}
        plugin = one.provided.plugin.name if one.provided is not None else one.plugin
        head |= {"plugin": plugin, "distribution": one.plugin}
        rest = {"options": [asdict(option) for option in options], "example": example}
        echo_json(head | tags | rest | {"start": start})
        return
    click.echo(f"{printable(f'{one.name}: {one.summary}')}\n")
    click.echo(table(_facts_of_plugin(one)))
    for which, meanings in tags.items():
        if meanings:
            click.echo(f"\n{which}\n{_indented(table(meanings.items()))}")
    if options:
        click.echo(f"\noptions\n{_indented(table(option_rows(options), OPTION_HEADER))}")
    if rows := fact_rows(one.facts):
        click.echo(f"\nmeasured\n{_indented(table(rows))}")
    click.echo(f"\nin a recipe\n{_indented(example)}")
    click.echo(f"\na whole recipe\n  {start}" if one.installed else f"\n{next_step(one)}")


def anywhere(catalog: Catalog, registry: Registry, name: str, kind: Kind | None) -> Available:
    """Return the method that a name means, installed or listed.

    Raises:
        UnknownMethodError: Nothing provides it.
        AmbiguousMethodError: Several do.
        PluginError: The plugin named before the colon cannot be used, and none lists the method.
    """
    from hub_core.available import available, installed_here

    try:
        return installed_here(find(catalog, name, kind), registry)
    except (UnknownMethodError, PluginError):
        plugin, _, bare = name.rpartition(":")
        found = [
            one
            for one in available(catalog, registry)
            if one.entry is not None and not one.installed and one.name == bare
            and kind in (None, one.kind) and plugin in ("", one.plugin)
        ]  # fmt: skip
        if not found:
            raise
    if len(found) > 1:
        told = " and ".join(f"a {one.kind} of {one.plugin}" for one in found)
        choices = " or ".join(f"'{one.plugin}:{bare}' --kind {one.kind}" for one in found)
        raise AmbiguousMethodError(
            f"'{name}' is not installed, and listed as {told}", hint=f"write {choices}"
        )
    return found[0]


def find(catalog: Catalog, name: str, kind: Kind | None) -> Provided:
    """Return the installed method that a name means, of whatever kind.

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


def _facts_of_plugin(one: Available) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = [("kind", one.kind)]
    if one.provided is not None:
        rows += [("plugin", f"{one.provided.plugin.name} {one.version}")]
        return rows + ([("paper", one.paper)] if one.paper else [])
    rows += [("plugin", f"{one.plugin} {one.version}, {standing(one)}")]
    if one.listed is not None:
        rows += [
            ("works with", f"hub-core {one.listed.core}".strip()),
            ("licence", one.listed.licence),
            ("maintainers", ", ".join(one.listed.maintainers)),
            ("homepage", one.listed.homepage),
            ("comes from", one.source),
            ("listed in", one.provenance),
        ]
    return [(name, value) for name, value in [*rows, ("paper", one.paper)] if value]


def _tags(one: Available, which: str) -> dict[str, str]:
    """Return tag to meaning, for the default options where the tags depend on them."""
    if one.provided is None:
        return {tag: _meaning(tag) for tag in one.tags[which]}
    tags: Any = getattr(one.provided.method, which)
    found = tags(one.provided.options_class().model_construct()) if callable(tags) else tags
    note = " (with the default options)" if callable(tags) else ""
    return {tag: meaning(tag) + note for tag in sorted(found)}


def _meaning(tag: str) -> str:
    """Return what a listed tag says; a newer hub-core may know tags that this one does not."""
    return meaning(tag) if ":" in tag or tag in TAGS else "not known to this hub-core"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
