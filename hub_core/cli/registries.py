"""Options of commands that look into registries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hub_core.registry import Registry

Command = TypeVar("Command", bound=Callable[..., Any])


accept_flag = click.option(
    "--accept", is_flag=True, help="Take a registry although it changed since the first use."
)
registry_flag = click.option(
    "--registry",
    "registries",
    multiple=True,
    metavar="URL|FILE",
    help="Another registry, asked about at its first use and remembered.",
)


def registry_flags(command: Command) -> Command:
    """Add ``--registry``, ``--yes`` and ``--accept``; ``opened`` takes what was given."""
    yes = click.option("--yes", is_flag=True, help="Accept a registry without a question.")
    return registry_flag(yes(accept_flag(command)))


def opened(registries: tuple[str, ...], *, yes: bool, accept: bool) -> Registry:
    """Return everything that is listed: shipped, remembered and named now.

    Raises:
        RegistryError: One cannot be read, was not accepted, or has changed.
    """
    from hub_core.registry import add, known

    ask = _yes if yes else _ask
    found = known([add(place, ask=ask, accept_changes=accept) for place in registries])
    for sentence in found.clashes:
        click.echo(sentence, err=True)
    return found


def _yes(question: str) -> bool:
    return True


def _ask(question: str) -> bool:
    try:
        return click.confirm(question, default=False, err=True)
    except click.Abort as abort:
        if isinstance(abort.__context__, EOFError):  # nobody is there to answer
            click.echo("no", err=True)
            return False
        raise
