"""The commit that last changed each file and folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hub_server import history
from hub_server.gitids import trees
from hub_server.history import Commit


def last_changes(db: sqlite3.Connection, head: Commit, wanted: Iterable[str]) -> dict[str, Commit]:
    """Return for each path the newest commit up to ``head`` that made it what it is.

    Args:
        db: The database.
        head: The commit at which the paths are looked at.
        wanted: Paths of files and folders that ``head`` holds.
    """
    left = set(wanted)
    found: dict[str, Commit] = {}
    chain = history.ancestors(db, head)
    here, now = next(chain), _ids(db, head)
    for before in chain:
        then = _ids(db, before)
        for path in [path for path in left if now.get(path) != then.get(path)]:
            found[path] = here
            left.discard(path)
        if not left:
            return found
        here, now = before, then
    return found | dict.fromkeys(left, here)


def _ids(db: sqlite3.Connection, commit: Commit) -> dict[str, str]:
    """Return git's id of each file and folder."""
    files = {file.path: file.git for file in history.files(db, commit.id).values()}
    return files | dict(trees(files.items()))
