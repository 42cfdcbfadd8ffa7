"""Options and questions of commands that install."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def install_flags(command: Command) -> Command:
    """Add ``--registry``, ``--accept``, ``--dry-run`` and ``--yes``."""
    for option in (
        click.option("--yes", is_flag=True, help="Answer every question with yes, for scripts."),
        click.option("--dry-run", is_flag=True, help="Show the commands and change nothing."),
        click.option(
            "--accept",
            is_flag=True,
            help="Take a registry although it changed since the first use.",
        ),
        click.option(
            "--registry",
            "registries",
            multiple=True,
            metavar="URL|FILE",
            help="Another registry, asked about at its first use and remembered.",
        ),
    ):
        command = option(command)
    return command


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
