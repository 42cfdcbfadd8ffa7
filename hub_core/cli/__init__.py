"""The command line: ``hub``, ``hub-core`` and ``python -m hub_core`` are the same.

A command parses, calls one function of a lower floor, and prints: results to stdout, messages to
stderr. Exit codes: 0, 1 for a ``HubError``, 2 for a wrong command line, 130 after Ctrl-C. Any
other exception is a bug and shows its trace.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from hub_core.cli.root import hub
from hub_core.errors import HubError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Args:
        arguments: What follows ``hub``; those of this process by default.
    """
    _accept_all_characters()
    try:
        code = hub.main(arguments, prog_name="hub", standalone_mode=False)
        sys.stdout.flush()
    except HubError as error:
        _tell(error)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as abort:
        if isinstance(abort.__cause__, EOFError):  # nothing here asks for input: a bug
            raise abort.__cause__ from None
        return 130
    except BrokenPipeError:  # the reader has seen enough, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _accept_all_characters() -> None:
    """Print what the console's encoding lacks as a question mark instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _tell(error: HubError) -> None:
    click.echo(f"Error: {error.message}", err=True)
    if error.hint:
        click.echo(f"Hint: {error.hint}", err=True)
