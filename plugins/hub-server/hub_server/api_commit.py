"""Files are announced, then committed."""

from __future__ import annotations

import sqlite3

from starlette.responses import JSONResponse, Response

from hub_server import history, pull_requests
from hub_server.announcing import rules
from hub_server.api_requests import check_asks
from hub_server.calls import Call, texts
from hub_server.changes import read
from hub_server.committing import add as put
from hub_server.committing import follow
from hub_server.refusal import RefusedError
from hub_server.repositories import Repository, check_writes


def preupload(call: Call) -> Response:
    """Answer which files go the large way, and what is already there."""
    value = call.json()
    listed = value.get("files")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise RefusedError(400, "'files' must be a list of objects.")
    with call.database.reading() as db:
        found = call.repository(db)
        _check(db, call, found)
        head = history.resolve(db, found.id, call.names["revision"])
        held = history.files(db, head.id)
    ignore = texts(value, "gitIgnore") if "gitIgnore" in value else None
    decide = rules(held, call.blobs, ignore)
    return JSONResponse({"commitOid": head.oid, "files": [decide.announced(f) for f in listed]})


def _check(db: sqlite3.Connection, call: Call, found: Repository) -> None:
    """Refuse callers that may not commit, nor ask with a pull request of their own."""
    if call.query.get("create_pr") or _own_request(db, call, found):
        check_asks(call)
    else:
        check_writes(call.caller, found.owner)


def _own_request(db: sqlite3.Connection, call: Call, found: Repository) -> bool:
    """Return whether the revision is a pull request that the caller has opened."""
    known = pull_requests.asked(db, found.id)
    return any(
        one.ref == call.names["revision"] and one.author == call.caller.user for one in known
    )


def commit(call: Call) -> Response:
    """Commit to a branch, or to a new pull request."""
    with call.database.reading() as db:
        _check(db, call, call.repository(db))
    changes = read(call.body, call.blobs)
    revision, author = call.names["revision"], call.caller.user
    ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
    asked = None
    with call.database.writing() as db:
        found = call.repository(db)
        _check(db, call, found)
        made = put(db, found.id, ref, changes, author=author)
        if call.query.get("create_pr"):
            asked = pull_requests.ask(
                db, found.id, changes.title, changes.message, author=author, start=ref, at=made
            )
        else:
            follow(db, call.blobs, found.id, ref, made)
    place = f"{call.base}/{found.place}"
    answer = {"success": True, "commitOid": made.oid, "commitUrl": f"{place}/commit/{made.oid}"}
    answer["hookOutput"] = ""
    if asked:
        answer["pullRequestUrl"] = f"{place}/discussions/{asked.number}"
    return JSONResponse(answer)
