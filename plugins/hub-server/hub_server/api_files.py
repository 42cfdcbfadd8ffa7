"""Files are served, and trees are listed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.responses import FileResponse, JSONResponse, Response

from hub_server import history, shown
from hub_server.calls import Call
from hub_server.gitids import trees
from hub_server.history import Commit, File
from hub_server.last_changes import last_changes
from hub_server.names import check_path
from hub_server.pages import page
from hub_server.refusal import no_entry, no_repository
from hub_server.repositories import check_gate

MOST = 1000
"""Entries of one page of a tree."""


def serve(call: Call) -> Response:
    """Answer a file, or the range of it that is asked for."""
    path = check_path(call.names["path"])
    with call.database.reading() as db:
        found = call.repository(db)
        check_gate(call.caller, found)
        commit = history.resolve(db, found.id, call.names["revision"])
        file = history.file_at(db, commit.id, path)
    if file is None:
        raise no_entry(path, commit.oid)
    oid = file.sha256 if file.large else file.git
    name = quote(path.rpartition("/")[2])
    headers = {
        "ETag": f'"{oid}"',
        "X-Repo-Commit": commit.oid,
        "X-Linked-Size": str(file.size),
        "X-Linked-Etag": f'"{oid}"',
        "Content-Disposition": f"inline; filename*=UTF-8''{name}",
    }
    kind = "application/octet-stream" if file.large else "text/plain; charset=utf-8"
    return FileResponse(call.blobs.path(file.sha256), headers=headers, media_type=kind)


def ownerless(call: Call) -> Response:
    """Refuse a name without an owner, which only the public Hub has."""
    raise no_repository(anonymous=not call.caller.user)


def tree(call: Call) -> Response:
    """Answer what a folder holds, with all below it where ``recursive`` is set."""
    at = call.names["path"]
    recursive = _is_set(call.query.get("recursive"))
    with call.database.reading() as db:
        found = call.repository(db)
        commit = history.resolve(db, found.id, call.names["revision"])
        entries = _entries(history.files(db, commit.id).values())
    if at and entries.get(at, {}).get("type") != "directory":
        raise no_entry(at, commit.oid)
    prefix = f"{at}/" if at else ""
    below = [
        value
        for path, value in entries.items()
        if path.startswith(prefix) and (recursive or "/" not in path[len(prefix) :])
    ]
    if _is_set(call.query.get("expand")):
        with call.database.reading() as db:
            _add_changes(db, commit, below)
    return page(call, below, MOST, {"X-Repo-Commit": commit.oid})


def _is_set(value: str | None) -> bool:
    return (value or "").lower() in {"true", "1"}


def _add_changes(db: sqlite3.Connection, head: Commit, values: list[dict[str, Any]]) -> None:
    """Add the commit that last changed it to each file and folder."""
    changes = last_changes(db, head, [value["path"] for value in values])
    for value in values:
        one = changes[value["path"]]
        value["lastCommit"] = {"id": one.oid, "title": one.title, "date": shown.when(one.time)}


def _entries(held: Iterable[File]) -> dict[str, dict[str, Any]]:
    """Return files and folders by path."""
    held = list(held)
    folders = trees((file.path, file.git) for file in held)
    found = {path: shown.folder(path, oid) for path, oid in folders.items() if path}
    found |= {file.path: shown.entry(file) for file in held}
    return dict(sorted(found.items()))


def paths(call: Call) -> Response:
    """Answer what is known of some paths; those that are not there are left out."""
    asked = parse_qs(call.body.read().decode("utf-8", "replace"))
    wanted = asked.get("paths", [])
    with call.database.reading() as db:
        found = call.repository(db)
        commit = history.resolve(db, found.id, call.names["revision"])
        entries = _entries(history.files(db, commit.id).values())
        known = [entries[path] for path in dict.fromkeys(wanted) if path in entries]
        if _is_set(asked.get("expand", [""])[0]):
            _add_changes(db, commit, known)
    return JSONResponse(known)
