"""What a repository is, and lists of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse, Response

from hub_server import history, shown
from hub_server.calls import Call
from hub_server.pages import page
from hub_server.repositories import Repository, from_row

SORTS = {"lastModified": "modified", "last_modified": "modified", "createdAt": "created",
         "created_at": "created"}  # fmt: skip
MOST = 1000
"""Repositories of one page."""


def information(call: Call) -> Response:
    """Answer what a repository is at a revision."""
    revision = call.names.get("revision", "main")
    sizes = call.query.get("blobs", "").lower() in {"true", "1"}
    with call.database.reading() as db:
        found = call.repository(db)
        commit = history.resolve(db, found.id, revision)
        held = history.files(db, commit.id).values()
    value = shown.repository(found, commit.oid)
    value["siblings"] = [shown.sibling(file, sizes=sizes) for file in held]
    value["usedStorage"] = sum(file.size for file in held)
    return JSONResponse(value)


def listing(call: Call) -> Response:
    """Answer the repositories that the caller may see and that fit the question."""
    with call.database.reading() as db:
        found = [_shown(db, one) for one in _visible(db, call)]
    wanted = _wanted(call)
    found = [value for value in found if all(_fits(value, want) for want in wanted)]
    return page(call, found, MOST)


def _visible(db: sqlite3.Connection, call: Call) -> Iterator[Repository]:
    order = SORTS.get(call.query.get("sort", ""), "modified")
    question = f"SELECT * FROM repositories WHERE kind = ? ORDER BY {order} DESC, id DESC"
    search = call.query.get("search", "").casefold()
    author = call.query.get("author", "").casefold()
    for row in db.execute(question, (call.names["kind"].removesuffix("s"),)):
        one = from_row(row)
        if not call.caller.reads(one.owner, private=one.private):
            continue
        if author in {"", one.owner.casefold()} and search in one.full.casefold():
            yield one


def _shown(db: sqlite3.Connection, one: Repository) -> dict[str, Any]:
    head = history.at_ref(db, one.id, history.MAIN)
    value = shown.repository(one, head.oid if head else "")
    held = history.files(db, head.id).values() if head else ()
    value["siblings"] = [shown.sibling(file, sizes=False) for file in held]
    return value


def _wanted(call: Call) -> list[str]:
    names = [*call.query.getlist("filter"), *call.query.getlist("pipeline_tag")]
    return [part for name in names for part in name.split(",") if part]


def _fits(value: dict[str, Any], want: str) -> bool:
    return want in value["tags"] or want == value.get("pipeline_tag")
