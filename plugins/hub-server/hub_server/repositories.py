"""Repositories: found with the caller's eyes, made, deleted, moved."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from hub_server.access import Caller
from hub_server.names import check_repository
from hub_server.refusal import RefusedError, no_repository

KINDS = ("model", "dataset", "space", "kernel")


@dataclass(frozen=True)
class Repository:
    """A repository; times are in seconds since 1970."""

    id: int
    kind: str
    owner: str
    name: str
    private: bool
    gated: str
    created: float
    modified: float
    card: str
    """What its card says, as JSON."""

    @property
    def full(self) -> str:
        """Its name with its owner's."""
        return f"{self.owner}/{self.name}"

    @property
    def place(self) -> str:
        """Its path on the site."""
        return self.full if self.kind == "model" else f"{self.kind}s/{self.full}"


class MovedError(Exception):
    """The repository has another name now."""

    def __init__(self, to: Repository) -> None:
        super().__init__(to.full)
        self.to = to


def from_row(row: sqlite3.Row) -> Repository:
    """Return a row as a repository."""
    names = Repository.__dataclass_fields__
    return Repository(**{name: row[name] for name in names} | {"private": bool(row["private"])})


def find(db: sqlite3.Connection, kind: str, owner: str, name: str, caller: Caller) -> Repository:
    """Return a repository that the caller may see.

    Raises:
        RefusedError: There is none, or it is private to others: the two look the same.
        MovedError: It has another name now.
    """
    where = "WHERE kind = ? AND owner = ? AND name = ?"
    row = db.execute(f"SELECT * FROM repositories {where}", (kind, owner, name)).fetchone()
    moved = None
    if row is None:
        question = f"SELECT repository FROM moved {where}"
        moved = db.execute(question, (kind, owner, name)).fetchone()
    if moved:
        row = db.execute("SELECT * FROM repositories WHERE id = ?", (moved[0],)).fetchone()
    if row is None or not caller.reads(row["owner"], private=bool(row["private"])):
        raise no_repository(anonymous=not caller.user)
    found = from_row(row)
    if moved:
        raise MovedError(found)
    return found


def check_gate(caller: Caller, found: Repository) -> None:
    """Refuse a caller that may know of a gated repository but not read its files."""
    if not found.gated or caller.belongs(found.owner):
        return
    start = f"Access to {found.kind} {found.full} is restricted"
    if caller.user:
        message = f"{start} and you are not in the authorized list."
        raise RefusedError(403, f"{message} Ask {found.owner} for access.", "GatedRepo")
    message = f"{start}. You must have access to it and be authenticated to access it."
    raise RefusedError(401, f"{message} Please log in.", "GatedRepo")


def check_writes(caller: Caller, owner: str) -> None:
    """Refuse a caller that may not change what belongs to ``owner``."""
    if not caller.writes(owner):
        status = 403 if caller.user else 401
        raise RefusedError(status, f"You have no right to change repositories of {owner}.")


def create(
    db: sqlite3.Connection, kind: str, owner: str, name: str, *, private: bool, caller: Caller
) -> int:
    """Make an empty repository and return its id.

    Raises:
        RefusedError: The name is taken or not a name, or the caller may not.
    """
    check_repository(owner, name)
    check_writes(caller, owner)
    now = time.time()
    db.execute("DELETE FROM moved WHERE kind = ? AND owner = ? AND name = ?", (kind, owner, name))
    columns = "kind, owner, name, private, created, modified"
    question = f"INSERT INTO repositories ({columns}) VALUES (?, ?, ?, ?, ?, ?)"
    try:
        row = (kind, owner, name, private, now, now)
        return int(db.execute(question, row).lastrowid or 0)
    except sqlite3.IntegrityError:
        raise taken(kind, owner, name) from None


def taken(kind: str, owner: str, name: str) -> RefusedError:
    """Return the refusal for a name that is in use."""
    return RefusedError(409, f"A {kind} repository called {owner}/{name} already exists")


def move(db: sqlite3.Connection, source: Repository, owner: str, name: str) -> None:
    """Give a repository another name; the old one leads to it.

    Raises:
        RefusedError: The new name is taken or not a name.
    """
    check_repository(owner, name)
    new = (source.kind, owner, name)
    db.execute("DELETE FROM moved WHERE kind = ? AND owner = ? AND name = ?", new)
    try:
        question = "UPDATE repositories SET owner = ?, name = ? WHERE id = ?"
        db.execute(question, (owner, name, source.id))
    except sqlite3.IntegrityError:
        raise taken(*new) from None
    row = (source.kind, source.owner, source.name, source.id)
    db.execute("INSERT OR REPLACE INTO moved VALUES (?, ?, ?, ?)", row)
