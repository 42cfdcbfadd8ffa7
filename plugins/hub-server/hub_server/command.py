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
def serve(folder: Path, host: str, port: int, tokens: tuple[str, ...]) -> None:
    """Serve a Hub of your own, without internet.

    Without any token, everybody who reaches it may read and write: it then listens at addresses
    of this machine only. Tokens stay valid until DIR is deleted.
    """
    from hub_server.app import LOOPBACK, Hub

    wanted = [_parsed(text) for text in tokens]
    local = host in HERE
    hub = Hub(folder, LOOPBACK if local else None)
    made = _make(hub, wanted)
    if not local and not _has_tokens(hub):
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


def _make(hub: Hub, wanted: list[tuple[str, str, tuple[str, ...]]]) -> list[tuple[str, str]]:
    from hub_server.access import add_token

    with hub.database.writing() as db:
        return [(f"{user}, {role}", add_token(db, user, role, t)) for user, role, t in wanted]


def _has_tokens(hub: Hub) -> bool:
    with hub.database.reading() as db:
        return db.execute("SELECT 1 FROM tokens LIMIT 1").fetchone() is not None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
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
