"""``hub plugins``: what is installed, what exists, and plugins of one's own.

A table of names, like the root command's: nothing is imported but the subcommand that runs, so
that ``list`` works with every plugin broken.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from hub_core.cli.options import json_flag
from hub_core.errors import near

_HERE = "hub_core.cli.plugins"
COMMANDS: Mapping[str, tuple[str, str]] = {
    "list": (f"{_HERE}.list:listed", "List installed plugins, importing none."),
    "search": (f"{_HERE}.search:search", "Search what exists, installed or not."),
    "install": (f"{_HERE}.install:install", "Install a plugin for this Python."),
    "update": (f"{_HERE}.update:update", "Bring plugins to the version that is listed."),
    "uninstall": (f"{_HERE}.uninstall:uninstall", "Remove a plugin, also a broken one."),
    "disable": (f"{_HERE}.switches:disable", "Switch a plugin off, for this user."),
    "enable": (f"{_HERE}.switches:enable", "Switch a plugin on again."),
    "doctor": (f"{_HERE}.doctor:doctor", "Say what is wrong with plugins, and where."),
    "registries": (
        f"{_HERE}.registries:registries",
        "List the registries that you accepted, or forget one.",
    ),
    "new": (f"{_HERE}.new:new", "Write a new plugin that works, to be changed."),
    "check": (f"{_HERE}.check:check", "Check the plugin in a folder."),
    "entry": (f"{_HERE}.entry:entry", "Print the registry entry of a plugin as JSON."),
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if not args[0].startswith("-") and args[0] not in COMMANDS:
            hint = near(args[0], COMMANDS) or "'hub plugins --help' lists all commands"
            ctx.fail(f"there is no command 'plugins {args[0]}'; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Plugins, invoke_without_command=True)
@json_flag
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """Install, list, check and remove plugins.

    Without a command: list what is installed.
    """
    if ctx.invoked_subcommand is None:
        from hub_core.cli.plugins.list import show

        show(as_json=as_json)
