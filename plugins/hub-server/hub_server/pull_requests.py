"""Pull requests: a number, a title, who asks, and the reference ``refs/pr/N``."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from hub_server import history
from hub_server.history import Commit


@dataclass(frozen=True)
class PullRequest:
    """A pull request; ``start`` is the reference that it is for, times are seconds since 1970."""

    number: int
    title: str
    description: str
    author: str
    time: float
    start: str

    @property
    def ref(self) -> str:
        """Its full reference."""
        return f"refs/pr/{self.number}"


def ask(
    db: sqlite3.Connection,
    repository: int,
    title: str,
    description: str,
    *,
    author: str,
    start: str,
    at: Commit,
) -> PullRequest:
    """Open a pull request for the reference ``start`` whose own reference names ``at``."""
    db.execute("UPDATE repositories SET requests = requests + 1 WHERE id = ?", (repository,))
    question = "SELECT requests FROM repositories WHERE id = ?"
    number = int(db.execute(question, (repository,)).fetchone()[0])
    made = PullRequest(number, title, description, author, time.time(), start)
    row = (repository, number, title, description, author, made.time, start)
    db.execute("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    history.set_ref(db, repository, made.ref, at.id)
    return made


def asked(db: sqlite3.Connection, repository: int) -> list[PullRequest]:
    """Return a repository's pull requests, newest first."""
    question = "SELECT * FROM requests WHERE repository = ? ORDER BY number DESC"
    names = PullRequest.__dataclass_fields__
    rows = db.execute(question, (repository,))
    return [PullRequest(**{name: row[name] for name in names}) for row in rows]
