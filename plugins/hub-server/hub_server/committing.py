"""One commit, all or none: contents are on disk before the one transaction that names them."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace

from hub_server import cards, history
from hub_server.blobs import Blobs
from hub_server.changes import Changes, apply, large_file
from hub_server.history import MAIN, Commit, File
from hub_server.refusal import RefusedError

STALE = "The branch was updated since you opened this page. Please refresh and try again."
ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


def first_commit(db: sqlite3.Connection, repository: int, blobs: Blobs, author: str) -> None:
    """Give a new repository its first commit, so that it has a branch."""
    from hub_server.gitids import git_id

    raw = ATTRIBUTES.encode()
    file = File(".gitattributes", git_id("blob", raw), blobs.put(raw), len(raw), large=False)
    commit = history.add_commit(
        db, repository, None, {file.path: file}, title="initial commit", message="", author=author
    )
    history.set_ref(db, repository, MAIN, commit.id)


def commit(
    db: sqlite3.Connection,
    blobs: Blobs,
    repository: int,
    ref: str,
    changes: Changes,
    *,
    author: str,
    new_ref: str = "",
) -> Commit:
    """Put changes on a branch, or on a new reference that starts at it.

    Raises:
        RefusedError: The branch has moved on from the parent that the changes name; a large file
            was never uploaded to this repository; or the changes do not fit the tree.
    """
    head = history.at_ref(db, repository, ref)
    if head is None:
        raise RefusedError(404, f"Invalid rev id: {ref}", "RevisionNotFound")
    if changes.parent and (len(changes.parent) < 7 or not head.oid.startswith(changes.parent)):
        raise RefusedError(412, STALE)
    sized = replace(changes, files=[_sized(db, repository, file) for file in changes.files])
    before = history.files(db, head.id)
    after = apply(sized, before)
    made = history.add_commit(
        db, repository, head, after,
        title=changes.title, message=changes.message, author=author,
    )  # fmt: skip
    history.set_ref(db, repository, new_ref or ref, made.id)
    if (new_ref or ref) == MAIN:
        describe(db, blobs, repository, after)
    return made


def _sized(db: sqlite3.Connection, repository: int, file: File) -> File:
    """Return a large file with its size, if this repository was given its content."""
    if not file.large:
        return file
    question = "SELECT size FROM large WHERE repository = ? AND sha256 = ?"
    row = db.execute(question, (repository, file.sha256)).fetchone()
    if row is None:
        raise RefusedError(400, f"The content of {file.path}, {file.sha256}, was not uploaded.")
    return large_file(file.path, file.sha256, row[0])


def describe(db: sqlite3.Connection, blobs: Blobs, repository: int, held: dict[str, File]) -> None:
    """Write down what the main branch's card says, for lists and searches."""
    readme, card = held.get("README.md"), {}
    if readme and readme.size <= 2 * cards.LONGEST * 4:
        text = blobs.path(readme.sha256).read_bytes().decode("utf-8", "replace")
        try:
            card = cards.header(text)
        except cards.CardError:
            card = {}
    value = {"cardData": card} | cards.described(card, held.keys())
    question = "UPDATE repositories SET card = ?, modified = ? WHERE id = ?"
    db.execute(question, (json.dumps(value), time.time(), repository))
