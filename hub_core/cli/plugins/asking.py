"""Options and questions of commands that install."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from hub_core.cli.registries import accept_flag, registry_flag

Command = TypeVar("Command", bound=Callable[..., Any])


def install_flags(command: Command) -> Command:
    """Add ``--registry``, ``--accept``, ``--dry-run`` and ``--yes``."""
    yes = click.option("--yes", is_flag=True, help="Answer every question with yes, for scripts.")
    dry = click.option("--dry-run", is_flag=True, help="Show the commands and change nothing.")
    return registry_flag(accept_flag(dry(yes(command))))


def asker(*, yes: bool) -> Callable[[str], bool]:
    """Return what answers questions: ``--yes``, a person, or no where nobody is there."""
    if yes:
        return lambda question: True
    return _ask


def _ask(question: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        click.echo(f"{question} [y/N]: no, since nobody is there to answer", err=True)
        return False
    return click.confirm(question, default=False, err=True)


def say(text: str) -> None:
    """Print a command before it is run, or a comment on it."""
    click.echo(text if text.startswith("#") else f"$ {text}", err=True)
