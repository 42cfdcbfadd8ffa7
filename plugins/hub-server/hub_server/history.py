"""Commits, trees and references of a repository."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hub_server.gitids import commit_id, trees
from hub_server.refusal import no_revision

MAIN = "refs/heads/main"


@dataclass(frozen=True)
class File:
    """A file of a commit; sizes are in bytes."""

    path: str
    git: str
    sha256: str
    size: int
    large: bool


@dataclass(frozen=True)
class Commit:
    """A commit; ``id`` is the database's, ``oid`` is git's."""

    id: int
    oid: str
    parent: int | None
    title: str
    message: str
    author: str
    time: int


def _commit(row: sqlite3.Row) -> Commit:
    return Commit(**{name: row[name] for name in Commit.__dataclass_fields__})


def resolve(db: sqlite3.Connection, repository: int, revision: str) -> Commit:
    """Return the commit of a branch, a tag, a full reference, or the start of a commit's id.

    Raises:
        RefusedError: There is none.
    """
    for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
        if found := at_ref(db, repository, name):
            return found
    if re.fullmatch(r"[0-9a-f]{7,40}", revision):
        question = "SELECT * FROM commits WHERE repository = ? AND oid GLOB ? LIMIT 2"
        rows = db.execute(question, (repository, f"{revision}*")).fetchall()
        if len(rows) == 1:
            return _commit(rows[0])
    raise no_revision(revision)


def at_ref(db: sqlite3.Connection, repository: int, name: str) -> Commit | None:
    """Return the commit that a full reference names."""
    question = (
        "SELECT commits.* FROM refs JOIN commits ON commits.id = refs.commit_id"
        " WHERE refs.repository = ? AND refs.name = ?"
    )
    row = db.execute(question, (repository, name)).fetchone()
    return _commit(row) if row else None


def refs(db: sqlite3.Connection, repository: int) -> list[tuple[str, str]]:
    """Return each full reference with its commit's id."""
    question = (
        "SELECT refs.name, commits.oid FROM refs JOIN commits ON commits.id = refs.commit_id"
        " WHERE refs.repository = ? ORDER BY refs.name"
    )
    return [(row[0], row[1]) for row in db.execute(question, (repository,))]


def set_ref(db: sqlite3.Connection, repository: int, name: str, commit: int) -> None:
    """Let a full reference name a commit."""
    db.execute("INSERT OR REPLACE INTO refs VALUES (?, ?, ?)", (repository, name, commit))


def ancestors(db: sqlite3.Connection, commit: Commit) -> Iterator[Commit]:
    """Yield a commit and those before it."""
    here: Commit | None = commit
    while here:
        yield here
        row = db.execute("SELECT * FROM commits WHERE id = ?", (here.parent,)).fetchone()
        here = _commit(row) if row else None


def all_commits(db: sqlite3.Connection, repository: int) -> list[Commit]:
    """Return every commit of a repository, parents first."""
    question = "SELECT * FROM commits WHERE repository = ? ORDER BY id"
    return [_commit(row) for row in db.execute(question, (repository,))]


def files(db: sqlite3.Connection, commit: int) -> dict[str, File]:
    """Return the files of a commit by path."""
    question = "SELECT path, git, sha256, size, large FROM files WHERE commit_id = ? ORDER BY path"
    return {row["path"]: _file(row) for row in db.execute(question, (commit,))}


def file_at(db: sqlite3.Connection, commit: int, path: str) -> File | None:
    """Return one file of a commit."""
    question = "SELECT path, git, sha256, size, large FROM files WHERE commit_id = ? AND path = ?"
    row = db.execute(question, (commit, path)).fetchone()
    return _file(row) if row else None


def _file(row: sqlite3.Row) -> File:
    return File(row["path"], row["git"], row["sha256"], row["size"], bool(row["large"]))


def add_commit(
    db: sqlite3.Connection,
    repository: int,
    parent: Commit | None,
    held: Mapping[str, File],
    *,
    title: str,
    message: str,
    author: str,
    at: int = 0,
) -> Commit:
    """Add a commit of the time ``at``, else of now, that no reference names yet; return it."""
    now = at or int(time.time())
    tree = trees((file.path, file.git) for file in held.values())[""]
    text = f"{title}\n\n{message}" if message else title
    oid = commit_id(tree, parent.oid if parent else "", author, now, text)
    question = "SELECT * FROM commits WHERE repository = ? AND oid = ?"
    if same := db.execute(question, (repository, oid)).fetchone():
        return _commit(same)
    row = (repository, oid, parent.id if parent else None, title, message, author, now)
    number = db.execute(
        "INSERT INTO commits (repository, oid, parent, title, message, author, time)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        row,
    ).lastrowid
    assert number is not None
    db.executemany(
        "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)",
        ((number, f.path, f.git, f.sha256, f.size, f.large) for f in held.values()),
    )
    return Commit(number, *row[1:])
