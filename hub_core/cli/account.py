"""``hub login``, ``hub whoami`` and ``hub logout``: tokens, kept as huggingface_hub keeps them."""

from __future__ import annotations

import sys

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json


@click.command()
def login() -> None:
    """Keep a token for the Hub.

    The Hub is that of HF_ENDPOINT, or the Hugging Face Hub. The token is asked for without showing
    it, or read from standard input, and sent to no other Hub.
    """
    from hub_core.remote.account import login as enter
    from hub_core.remote.endpoint import current

    url = current().url
    if sys.stdin.isatty():
        token = click.prompt(f"Token for {url}", hide_input=True, err=True)
    else:
        token = sys.stdin.readline()
    account = enter(token)
    click.echo(f"Logged in at {account.url} as {account.user}, role {account.role or 'unknown'}.")


@click.command()
@json_flag
def whoami(as_json: bool) -> None:
    """Show who the Hub takes you for."""
    from hub_core.remote.account import whoami as ask

    account = ask()
    if as_json:
        echo_json({"user": account.user, "teams": account.teams, "role": account.role,
                   "url": account.url})  # fmt: skip
        return
    teams = f", teams: {', '.join(account.teams)}" if account.teams else ""
    click.echo(f"{account.user} at {account.url}, role {account.role or 'unknown'}{teams}")


@click.command()
def logout() -> None:
    """Forget the token of this Hub."""
    from hub_core.remote.account import logout as leave
    from hub_core.remote.endpoint import current

    url = current().url
    click.echo(
        f"Logged out of {url}." if leave() else f"You were not logged in at {url}.", err=True
    )
