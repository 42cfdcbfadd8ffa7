"""One commit, all or none: contents are on disk before the one transaction that names them."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace

from hub_server import history
from hub_server.blobs import Blobs
from hub_server.changes import Changes, apply, large_file
from hub_server.describing import LARGEST, READ, described
from hub_server.gitids import git_id
from hub_server.history import MAIN, Commit, File
from hub_server.refusal import RefusedError, no_revision

STALE = "The branch was updated since you opened this page. Please refresh and try again."
ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


def first_commit(
    db: sqlite3.Connection, repository: int, blobs: Blobs, author: str, readme: str = ""
) -> None:
    """Give a new repository its first commit, so that it has a branch."""
    contents = {".gitattributes": ATTRIBUTES} | ({"README.md": readme} if readme else {})
    held = {path: _text_file(path, text, blobs) for path, text in contents.items()}
    made = history.add_commit(
        db, repository, None, held, title="initial commit", message="", author=author
    )
    history.set_ref(db, repository, MAIN, made.id)


def _text_file(path: str, text: str, blobs: Blobs) -> File:
    raw = text.encode()
    return File(path, git_id("blob", raw), blobs.put(raw), len(raw), large=False)


def add(
    db: sqlite3.Connection, repository: int, ref: str, changes: Changes, *, author: str
) -> Commit:
    """Add a commit to what a reference names; no reference follows it yet.

    Raises:
        RefusedError: The branch has moved on from the parent that the changes name; a large file
            was never uploaded to this repository; or the changes do not fit the tree.
    """
    head = history.at_ref(db, repository, ref)
    if head is None:
        raise no_revision(ref)
    if changes.parent and (len(changes.parent) < 7 or not head.oid.startswith(changes.parent)):
        raise RefusedError(412, STALE)
    sized = replace(changes, files=[_sized(db, repository, file) for file in changes.files])
    after = apply(sized, history.files(db, head.id))
    return history.add_commit(
        db, repository, head, after,
        title=changes.title, message=changes.message, author=author,
    )  # fmt: skip


def follow(db: sqlite3.Connection, blobs: Blobs, repository: int, ref: str, commit: Commit) -> None:
    """Let a reference name a commit, and lists show it where the reference is the main branch."""
    history.set_ref(db, repository, ref, commit.id)
    if ref == MAIN:
        describe(db, blobs, repository, history.files(db, commit.id))


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
    """Write down what the main branch's card and configurations say, for lists and searches."""
    contents = {path: _content(blobs, held.get(path)) for path in READ}
    question = "SELECT kind FROM repositories WHERE id = ?"
    kind = db.execute(question, (repository,)).fetchone()["kind"]
    value = described(kind, contents, held.keys())
    question = "UPDATE repositories SET card = ?, modified = ? WHERE id = ?"
    db.execute(question, (json.dumps(value), time.time(), repository))


def _content(blobs: Blobs, file: File | None) -> str:
    if file is None or file.size > LARGEST:
        return ""
    return blobs.path(file.sha256).read_bytes().decode("utf-8", "replace")
