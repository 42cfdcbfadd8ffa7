"""Who calls, and what they may: tokens are kept as hashes, roles are read and write."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from dataclasses import dataclass

from hub_server.refusal import RefusedError

LOCAL = "local"
"""The user that everybody is as long as the server has no tokens."""


@dataclass(frozen=True)
class Caller:
    """Somebody who calls."""

    user: str = ""
    role: str = ""
    teams: tuple[str, ...] = ()
    everything: bool = False
    """The server has no tokens, so that everybody may do everything."""

    def reads(self, owner: str, *, private: bool) -> bool:
        """Return whether a repository of ``owner`` is visible."""
        return not private or self.everything or self._belongs(owner)

    def writes(self, owner: str) -> bool:
        """Return whether repositories of ``owner`` may be changed."""
        return self.everything or (self.role == "write" and self._belongs(owner))

    def _belongs(self, owner: str) -> bool:
        own = {name.casefold() for name in (self.user, *self.teams) if name}
        return owner.casefold() in own


def identify(db: sqlite3.Connection, authorization: str) -> Caller:
    """Return who sent an ``Authorization`` header.

    Raises:
        RefusedError: The token is not one of this server's.
    """
    if db.execute("SELECT 1 FROM tokens LIMIT 1").fetchone() is None:
        return Caller(LOCAL, "write", everything=True)
    if not authorization:
        return Caller()
    scheme, _, token = authorization.partition(" ")
    question = "SELECT * FROM tokens WHERE digest = ?"
    row = db.execute(question, (_digest(token.strip()),)).fetchone()
    if scheme.lower() != "bearer" or row is None:
        raise RefusedError(401, "Invalid credentials in Authorization header")
    return Caller(row["user"], row["role"], tuple(row["teams"].split()))


def add_token(db: sqlite3.Connection, user: str, role: str, teams: tuple[str, ...]) -> str:
    """Make a token and return it; only its hash is kept."""
    token = f"hf_{secrets.token_hex(17)}"
    row = (_digest(token), user, role, " ".join(teams))
    db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", row)
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
