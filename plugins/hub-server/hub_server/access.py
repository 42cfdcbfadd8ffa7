"""Who calls, and what they may: tokens are kept as hashes, roles are read and write."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from dataclasses import dataclass

from hub_server.refusal import RefusedError

LOCAL = "local"
"""The user that everybody is as long as the server has never had a token."""


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
        return not private or self.belongs(owner)

    def writes(self, owner: str) -> bool:
        """Return whether repositories of ``owner`` may be changed."""
        return self.everything or (self.role == "write" and self.belongs(owner))

    def belongs(self, owner: str) -> bool:
        """Return whether ``owner`` is the caller or one of the caller's teams."""
        own = {name.casefold() for name in (self.user, *self.teams) if name}
        return self.everything or owner.casefold() in own


def guarded(db: sqlite3.Connection) -> bool:
    """Return whether the server has ever had a token; it then never serves everybody again."""
    question = "SELECT 1 FROM tokens UNION SELECT 1 FROM settings WHERE name = 'guarded'"
    return db.execute(question).fetchone() is not None


def identify(db: sqlite3.Connection, authorization: str) -> Caller:
    """Return who sent an ``Authorization`` header.

    Raises:
        RefusedError: The token is not one of this server's, or no longer.
    """
    if not guarded(db):
        return Caller(LOCAL, "write", everything=True)
    if not authorization:
        return Caller()
    scheme, _, token = authorization.partition(" ")
    question = "SELECT * FROM tokens WHERE digest = ?"
    row = db.execute(question, (_digest(token.strip()),)).fetchone()
    if scheme.lower() != "bearer" or row is None:
        raise RefusedError(401, "Invalid credentials in Authorization header")
    if row["expires"] and row["expires"] < time.time():
        raise RefusedError(401, "Invalid credentials in Authorization header: the token expired")
    return Caller(row["user"], row["role"], tuple(row["teams"].split()))


def add_token(
    db: sqlite3.Connection, user: str, role: str, teams: tuple[str, ...], days: float = 0
) -> str:
    """Make a token, valid for ``days`` or for ever, and return it; only its hash is kept."""
    token = f"hf_{secrets.token_hex(17)}"
    keep_token(db, token, user, role, teams, time.time() + days * 86400 if days else 0)
    return token


def keep_token(
    db: sqlite3.Connection,
    token: str,
    user: str,
    role: str,
    teams: tuple[str, ...],
    expires: float = 0,
) -> None:
    """Let a token be a user's.

    Args:
        db: The database, in a transaction.
        token: The token.
        user: Whose it is.
        role: ``read`` or ``write``.
        teams: The teams that the user is in.
        expires: When it ends, in seconds since 1970; 0 for never.
    """
    question = "INSERT INTO tokens (digest, user, role, teams, expires) VALUES (?, ?, ?, ?, ?)"
    db.execute(question, (_digest(token), user, role, " ".join(teams), expires))
    db.execute("INSERT OR IGNORE INTO settings VALUES ('guarded', '1')")


def revoke(db: sqlite3.Connection, user: str) -> int:
    """Make all tokens of a user worthless and return how many there were."""
    return db.execute("DELETE FROM tokens WHERE user = ? COLLATE NOCASE", (user,)).rowcount


def name_account(db: sqlite3.Connection, name: str, full: str, *, hides: bool = False) -> None:
    """Set what is shown for a user or team, and whether its new repositories are private."""
    db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", (name, full, hides))


def full_name(db: sqlite3.Connection, name: str) -> str:
    """Return what is shown for a user or team."""
    row = db.execute("SELECT full FROM accounts WHERE name = ?", (name,)).fetchone()
    return row["full"] if row else name


def hides(db: sqlite3.Connection, name: str) -> bool:
    """Return whether new repositories of a user or team are private unless said otherwise."""
    row = db.execute("SELECT hides FROM accounts WHERE name = ?", (name,)).fetchone()
    return bool(row and row["hides"])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
