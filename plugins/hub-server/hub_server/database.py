"""The SQLite file: repositories, references, commits, trees, tokens; each change is all or none."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    digest TEXT PRIMARY KEY, user TEXT NOT NULL, role TEXT NOT NULL, teams TEXT NOT NULL,
    expires REAL NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS accounts (
    name TEXT PRIMARY KEY COLLATE NOCASE, full TEXT NOT NULL, hides INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, owner TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE, private INTEGER NOT NULL, gated TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL, modified REAL NOT NULL, card TEXT NOT NULL DEFAULT '{}',
    requests INTEGER NOT NULL DEFAULT 0, UNIQUE (kind, owner, name));
CREATE TABLE IF NOT EXISTS moved (
    kind TEXT NOT NULL, owner TEXT NOT NULL COLLATE NOCASE, name TEXT NOT NULL COLLATE NOCASE,
    repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    PRIMARY KEY (kind, owner, name));
CREATE TABLE IF NOT EXISTS commits (
    id INTEGER PRIMARY KEY, repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    oid TEXT NOT NULL, parent INTEGER REFERENCES commits, title TEXT NOT NULL,
    message TEXT NOT NULL, author TEXT NOT NULL, time INTEGER NOT NULL, UNIQUE (repository, oid));
CREATE TABLE IF NOT EXISTS files (
    commit_id INTEGER NOT NULL REFERENCES commits ON DELETE CASCADE, path TEXT NOT NULL,
    git TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, large INTEGER NOT NULL,
    PRIMARY KEY (commit_id, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refs (
    repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, name TEXT NOT NULL,
    commit_id INTEGER NOT NULL REFERENCES commits ON DELETE CASCADE,
    PRIMARY KEY (repository, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS large (
    repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, sha256 TEXT NOT NULL,
    size INTEGER NOT NULL, PRIMARY KEY (repository, sha256)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
    repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    number INTEGER NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL,
    author TEXT NOT NULL, time REAL NOT NULL, start TEXT NOT NULL,
    PRIMARY KEY (repository, number)) WITHOUT ROWID;
"""
LATER = {("tokens", "expires"): "REAL NOT NULL DEFAULT 0"}
"""Columns that files of earlier versions lack."""


class Database:
    """The server's SQLite file.

    Args:
        path: Where it is; made if absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMA)
            _complete(connection)
            row = ("secret", secrets.token_hex(32))
            connection.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", row)
        path.chmod(0o600)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give one consistent view."""
        with self._open() as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the only writer; what it did counts if the block ends well, else none of it."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")


def _complete(connection: sqlite3.Connection) -> None:
    """Add the columns that a file of an earlier version lacks."""
    for (table, column), kind in LATER.items():
        known = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
        if column not in known:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
