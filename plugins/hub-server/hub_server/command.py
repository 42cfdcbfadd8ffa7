"""``hub serve``: make the tokens, print the lines to copy, serve."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hub_server.app import Hub

HERE = {"127.0.0.1", "localhost", "::1"}


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("hub-data"),
    show_default=True,
    metavar="DIR",
    help="Where repositories are kept.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8888,
    show_default=True,
    help="The port to listen at; 0 for a free one.",
)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="USER:ROLE[:TEAM,...]",
    help="Make a token and print it, once; ROLE is read or write.",
)
@click.option(
    "--days",
    type=click.FloatRange(0, min_open=True),
    metavar="DAYS",
    help="How long the tokens of --token are valid; for ever unless given.",
)
@click.option(
    "--revoke",
    "revoked",
    multiple=True,
    metavar="USER",
    help="Make all tokens of a user worthless, at once, and stop; also beside a running server.",
)
@click.option(
    "--rate",
    type=click.IntRange(0),
    metavar="CALLS",
    help="Calls that one user may make in five minutes; 0 for any number.  [default: 30000]",
)
def serve(
    folder: Path,
    host: str,
    port: int,
    tokens: tuple[str, ...],
    days: float | None,
    revoked: tuple[str, ...],
    rate: int | None,
) -> None:
    """Serve a Hub of your own, without internet.

    Until the first token is made, everybody who reaches it may read and write: it then listens at
    addresses of this machine only.
    """
    wanted = [_parsed(text) for text in tokens]
    if revoked and tokens:
        raise click.UsageError("--revoke serves nothing: give --token in a call of its own")
    if revoked:
        _revoke(folder, revoked)
        return
    from hub_server.app import LOOPBACK, Hub
    from hub_server.limits import RATE

    local = host in HERE
    hub = Hub(folder, LOOPBACK if local else None, RATE if rate is None else rate)
    made = _make(hub, wanted, days or 0)
    if not local and not _is_guarded(hub):
        raise click.UsageError(f"--host {host} needs a token; make one with --token USER:write")
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    _print(f"http://{shown}:{listener.getsockname()[1]}", made)
    _run(hub, listener)


def _parsed(text: str) -> tuple[str, str, tuple[str, ...]]:
    from hub_server.names import PART

    user, role, teams = [*text.split(":", 2), "", ""][:3]
    role = role or "write"
    names = tuple(name for name in teams.split(",") if name)
    if role not in {"read", "write"} or not all(PART.fullmatch(n) for n in (user, *names)):
        raise click.UsageError(
            f"--token {text}: must read USER:ROLE[:TEAM,...], ROLE read or write"
        )
    return user, role, names


def _revoke(folder: Path, users: tuple[str, ...]) -> None:
    from hub_server.access import revoke
    from hub_server.database import Database

    path = folder / "hub.sqlite"
    if not path.is_file():
        raise click.UsageError(
            f"--revoke: there is no server's data in {folder}; name it with --dir"
        )
    with Database(path).writing() as db:
        counts = {user: revoke(db, user) for user in users}
    for user, count in counts.items():
        click.echo(f"{user}: {count} {'token' if count == 1 else 'tokens'} revoked")


def _make(
    hub: Hub, wanted: list[tuple[str, str, tuple[str, ...]]], days: float
) -> list[tuple[str, str]]:
    from hub_server.access import add_token

    ends = f", {days:g} {'day' if days == 1 else 'days'}" if days else ""
    with hub.database.writing() as db:
        return [
            (f"{user}, {role}{ends}", add_token(db, user, role, teams, days))
            for user, role, teams in wanted
        ]


def _is_guarded(hub: Hub) -> bool:
    from hub_server.access import guarded

    with hub.database.reading() as db:
        return guarded(db)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
        # head and body of an answer are sent apart: without this the second waits for the first
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise click.ClickException(f"{host}:{port} cannot be used: {error.strerror}") from error


def _print(address: str, made: list[tuple[str, str]]) -> None:
    click.echo(f"export HF_ENDPOINT={address}")
    click.echo("export HF_HUB_DISABLE_XET=1")
    for who, token in made:
        click.echo(f"export HF_TOKEN={token}  # {who}")


def _run(hub: Hub, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        hub,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listener])
