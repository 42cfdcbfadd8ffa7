"""A history is told again without some large files."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from hub_server import history


def forget(db: sqlite3.Connection, repository: int, contents: Collection[str]) -> None:
    """Rewrite all commits of a repository as if it had never had some contents.

    Args:
        db: The database, in a transaction.
        repository: The repository's id.
        contents: The sha256 of each large file to forget.
    """
    new: dict[int, history.Commit] = {}
    old = history.all_commits(db, repository)
    for commit in old:
        held = history.files(db, commit.id)
        kept = {p: f for p, f in held.items() if not (f.large and f.sha256 in contents)}
        new[commit.id] = history.add_commit(
            db, repository, new[commit.parent] if commit.parent else None, kept,
            title=commit.title, message=commit.message, author=commit.author, at=commit.time,
        )  # fmt: skip
    for commit in old:
        question = "UPDATE refs SET commit_id = ? WHERE repository = ? AND commit_id = ?"
        db.execute(question, (new[commit.id].id, repository, commit.id))
    same = {commit.id for commit in new.values()}
    for commit in reversed(old):
        if commit.id not in same:
            db.execute("DELETE FROM commits WHERE id = ?", (commit.id,))
    for sha256 in contents:
        question = "DELETE FROM large WHERE repository = ? AND sha256 = ?"
        db.execute(question, (repository, sha256))
