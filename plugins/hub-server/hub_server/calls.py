"""A call as handlers see it, and the table that leads to them.

Revisions arrive percent-encoded, slashes included, so paths are split before they are decoded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response

from hub_server.access import Caller
from hub_server.names import is_text
from hub_server.refusal import RefusedError

if TYPE_CHECKING:
    import sqlite3

    from hub_server.blobs import Blobs
    from hub_server.database import Database
    from hub_server.repositories import Repository


@dataclass(frozen=True)
class Call:
    """One request, with who sent it."""

    base: str
    """The server's address as the caller wrote it, without a slash at the end."""

    url: str
    query: QueryParams
    headers: Headers
    names: Mapping[str, str]
    """The parts of the path that the route names, decoded."""

    body: IO[bytes]
    caller: Caller
    database: Database
    blobs: Blobs

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            RefusedError: It is none.
        """
        try:
            value = json.loads(self.body.read() or b"{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise RefusedError(400, "The body must be a JSON object.")
        return value

    def repository(self, db: sqlite3.Connection, *, write: bool = False) -> Repository:
        """Return the repository that the path names.

        Raises:
            RefusedError: There is none that the caller may see, or change where ``write`` is set.
        """
        from hub_server.repositories import check_writes, find

        kind, owner = self.names["kind"].removesuffix("s"), self.names["owner"]
        found = find(db, kind, owner, self.names["name"], self.caller)
        if write:
            check_writes(self.caller, found.owner)
        return found


Handler = Callable[[Call], Response]


@dataclass(frozen=True)
class Route:
    """A method and a path; ``{name}`` is one piece of it, ``{name*}`` the rest, perhaps empty."""

    method: str
    pattern: str
    handler: Handler
    limit: int = 1024 * 1024
    """Bytes that the body may have."""

    def match(self, method: str, pieces: list[str]) -> dict[str, str] | None:
        """Return the named parts, or None where the path is another."""
        if method != self.method:
            return None
        wanted = self.pattern.split("/")
        found: dict[str, str] = {}
        for number, want in enumerate(wanted):
            if want.endswith("*}"):
                rest = [unquote(piece) for piece in pieces[number:]]
                return found | {want[1:-2]: "/".join(rest).rstrip("/")}
            if number >= len(pieces):
                return None
            if want.startswith("{"):
                found[want[1:-1]] = unquote(pieces[number])
            elif want != pieces[number]:
                return None
        return found if len(pieces) == len(wanted) else None


def texts(value: dict[str, Any], name: str, default: str = "") -> str:
    """Return a text of a JSON object.

    Raises:
        RefusedError: It is something else.
    """
    found = value.get(name)
    if found is None:
        return default
    if not isinstance(found, str) or not is_text(found):
        raise RefusedError(400, f"{name!r} must be a text.")
    return found
