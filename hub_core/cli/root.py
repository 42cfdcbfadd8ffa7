"""The root command: a table of names, so that nothing is imported but the command that runs.

Plugins add commands through the entry-point group ``hub_core.commands``: a name and the place of
a ``click.Command``, found in the metadata, imported when run. A core command is never shadowed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from hub_core import __version__, added
from hub_core.errors import PluginError, near

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "hub_core.commands"
COMMANDS: Mapping[str, tuple[str, str]] = {
    "data": ("hub_core.cli.data:data", "Look into data before training."),
    "init": ("hub_core.cli.init:init", "Write a commented recipe to start from."),
    "train": ("hub_core.cli.train:train", "Train what a recipe or flags describe."),
    "compress": ("hub_core.cli.compress:compress", "Make a trained artifact smaller and faster."),
    "evaluate": ("hub_core.cli.artifacts:evaluate", "Measure an artifact on labelled data."),
    "predict": ("hub_core.cli.predict:predict", "Predict texts with an artifact."),
    "inspect": ("hub_core.cli.inspect:inspect", "Show what an artifact is, without loading it."),
    "verify": ("hub_core.cli.verify:verify", "Check that an artifact is what was saved."),
    "extract": (
        "hub_core.cli.extract:extract",
        "Take one task of several out, as an artifact of its own.",
    ),
    "push": ("hub_core.cli.push:push", "Publish an artifact on the Hub."),
    "pull": ("hub_core.cli.pull:pull", "Fetch an artifact from the Hub, pinned and checked."),
    "lock": ("hub_core.cli.pull:lock", "Write what names mean now into hub.lock."),
    "search": ("hub_core.cli.search:search", "Search the Hub for artifacts, the newest first."),
    "login": ("hub_core.cli.account:login", "Keep a token for the Hub."),
    "whoami": ("hub_core.cli.account:whoami", "Show who the Hub takes you for."),
    "logout": ("hub_core.cli.account:logout", "Forget the token of this Hub."),
    "methods": ("hub_core.cli.methods:methods", "List the methods of all installed plugins."),
    "show": ("hub_core.cli.show:show", "Explain a method and all of its options."),
    "schema": ("hub_core.cli.schema:schema", "Print the JSON Schema of a recipe, for editors."),
    "plugins": ("hub_core.cli.plugins:plugins", "Install, list, check and remove plugins."),
    "cache": ("hub_core.cli.cache:cache", "List or clear what training keeps and what was pulled."),
}
"""Command to its place and its short help, in the order of the work."""


class Root(click.Group):
    """A group whose commands are looked up in ``COMMANDS``, then among the plugins'."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return core commands in the table's order, then those of plugins."""
        return [*COMMANDS, *(name for name in _from_plugins() if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command.

        Raises:
            PluginError: A plugin's command cannot be used.
        """
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        if points := _from_plugins().get(cmd_name):
            return _load(cmd_name, points)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if not args[0].startswith("-") and args[0] not in COMMANDS:
            known = self.list_commands(ctx)
            if args[0] not in known:
                hint = near(args[0], known) or "'hub --help' lists all commands"
                ctx.fail(f"there is no command '{args[0]}'; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the tables of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        if added := _from_plugins():
            with formatter.section("Commands from plugins"):
                formatter.write_dl([(name, _origin(name, at)) for name, at in added.items()])


def _from_plugins() -> dict[str, list[EntryPoint]]:
    """Return command name to entry points, read from the metadata alone."""
    from importlib import metadata

    found: dict[str, list[EntryPoint]] = {}
    for point in metadata.entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return dict(sorted(found.items()))


def _origin(name: str, points: list[EntryPoint]) -> str:
    origin = " and ".join(sorted(map(added.origin, points)))
    if name in COMMANDS:
        return f"from {origin}; not used: the core has a command of that name"
    return f"from {origin}"


def _load(name: str, points: list[EntryPoint]) -> click.Command:
    if len(points) > 1:
        origin = " and ".join(sorted(map(added.origin, points)))
        raise PluginError(f"command '{name}' is brought by {origin}", hint="uninstall one of them")
    origin, hint = added.origin(points[0]), "repair or uninstall it"
    if why := added.refusal(points[0]):
        raise PluginError(f"command '{name}' of {origin} cannot be used: {why}")
    try:
        command = points[0].load()
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise PluginError(f"command '{name}' of {origin} is broken: {reason}", hint=hint) from error
    if not isinstance(command, click.Command):
        found = type(command).__name__
        raise PluginError(
            f"command '{name}' of {origin} is broken: it is a {found}, not a click.Command",
            hint=hint,
        )
    return command


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="'hub COMMAND --help' explains a command.",
)
@click.version_option(__version__, prog_name="hub-core", message="%(prog)s %(version)s")
def hub() -> None:
    """Fine-tune pre-trained language models with plugins for every technique."""
