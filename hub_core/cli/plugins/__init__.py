"""``hub plugins``: what is installed, what exists, and plugins of one's own.

A table of names, like the root command's: nothing is imported but the subcommand that runs, so
that ``list`` works with every plugin broken.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from hub_core.catalog import installed
from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, table

COMMANDS: Mapping[str, tuple[str, str]] = {
    "list": ("hub_core.cli.plugins:listed", "List installed plugins, importing none."),
    "search": ("hub_core.cli.plugins.search:search", "Search what exists, installed or not."),
    "new": ("hub_core.cli.plugins.new:new", "Write a new plugin that works, to be changed."),
    "check": ("hub_core.cli.plugins.check:check", "Check the plugin in a folder."),
    "entry": ("hub_core.cli.plugins.entry:entry", "Print the registry entry of a plugin as JSON."),
}
"""Subcommand to its place and its short help."""


class Plugins(click.Group):
    """A group whose commands are looked up in ``COMMANDS``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Plugins, invoke_without_command=True)
@json_flag
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List installed plugins, importing none.

    With a command: search those that exist, or write and check one of your own.
    """
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@click.command("list")
@json_flag
def listed(as_json: bool) -> None:
    """List installed plugins, importing none."""
    _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    keys = ("name", "distribution", "version", "status", "reason")
    found = [{key: getattr(plugin, key) for key in keys} for plugin in installed().plugins()]
    if as_json:
        echo_json(found)
    elif found:
        click.echo(table([[*row.values()] for row in found], keys))
    else:
        click.echo("No plugin is installed.", err=True)
