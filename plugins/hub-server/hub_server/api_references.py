"""Branches, tags and the list of commits."""

from __future__ import annotations

import html
import sqlite3
from typing import Any

from starlette.responses import JSONResponse, Response

from hub_server import history, shown
from hub_server.calls import Call, texts
from hub_server.names import check_reference
from hub_server.pages import page
from hub_server.refusal import RefusedError, no_revision

MOST = 1000
"""Commits of one page."""


def refs(call: Call) -> Response:
    """Answer all branches, tags and pull requests."""
    with call.database.reading() as db:
        known = history.refs(db, call.repository(db).id)
    value: dict[str, Any] = {"branches": [], "converts": [], "tags": []}
    if call.query.get("include_prs"):
        value["pullRequests"] = []
    places = {"refs/heads/": "branches", "refs/tags/": "tags", "refs/pr/": "pullRequests"}
    for full, oid in known:
        prefix = next(prefix for prefix in places if full.startswith(prefix))
        one = {"name": full.removeprefix(prefix), "ref": full, "targetCommit": oid}
        value.setdefault(places[prefix], []).append(one)
    if not call.query.get("include_prs"):
        value.pop("pullRequests", None)
    return JSONResponse(value)


def make_branch(call: Call) -> Response:
    """Start a branch at a revision."""
    start = texts(call.json(), "startingPoint", "main")
    with call.database.writing() as db:
        _make(db, call, "refs/heads/", call.names["branch"], start)
    return JSONResponse({})


def make_tag(call: Call) -> Response:
    """Give a revision a tag."""
    name = texts(call.json(), "tag")
    with call.database.writing() as db:
        _make(db, call, "refs/tags/", name, call.names["revision"])
    return JSONResponse({})


def _make(db: sqlite3.Connection, call: Call, prefix: str, name: str, start: str) -> None:
    found = call.repository(db, write=True)
    at = history.resolve(db, found.id, start)
    ref = prefix + check_reference(name)
    if history.at_ref(db, found.id, ref):
        raise RefusedError(409, f"Reference {ref} already exists")
    history.set_ref(db, found.id, ref, at.id)


def delete_branch(call: Call) -> Response:
    """Delete a branch other than main."""
    return _delete(call, f"refs/heads/{call.names['branch']}")


def delete_tag(call: Call) -> Response:
    """Delete a tag."""
    return _delete(call, f"refs/tags/{call.names['revision']}")


def _delete(call: Call, ref: str) -> Response:
    with call.database.writing() as db:
        found = call.repository(db, write=True)
        if ref == history.MAIN:
            raise RefusedError(403, f"Cannot delete {ref}")
        question = "DELETE FROM refs WHERE repository = ? AND name = ?"
        if not db.execute(question, (found.id, ref)).rowcount:
            raise no_revision(ref)
    return JSONResponse({})


def squash(call: Call) -> Response:
    """Make one commit of a branch's whole history."""
    title = texts(call.json(), "message", "Super-squash branch using huggingface_hub")
    name = call.names["branch"]
    ref = name if name.startswith("refs/") else f"refs/heads/{name}"
    with call.database.writing() as db:
        found = call.repository(db, write=True)
        head = history.at_ref(db, found.id, ref)
        if head is None:
            raise no_revision(name)
        held = history.files(db, head.id)
        made = history.add_commit(
            db, found.id, None, held, title=title, message="", author=call.caller.user
        )
        history.set_ref(db, found.id, ref, made.id)
    return JSONResponse({})


def commits(call: Call) -> Response:
    """Answer a revision's commit and those before it."""
    with call.database.reading() as db:
        start = history.resolve(db, call.repository(db).id, call.names["revision"])
        known = list(history.ancestors(db, start))
    formatted = "formatted" in call.query.getlist("expand[]")
    values = [
        {
            "id": one.oid,
            "title": one.title,
            "message": one.message,
            "date": shown.when(one.time),
            "authors": [{"user": one.author}],
            **(_formatted(one) if formatted else {}),
        }
        for one in known
    ]
    return page(call, values, MOST, {"X-Total-Count": str(len(values))})


def _formatted(commit: history.Commit) -> dict[str, Any]:
    """Return a commit's words as HTML in which nothing has a meaning."""
    title, message = html.escape(commit.title), html.escape(commit.message)
    return {"formatted": {"title": f"<p>{title}</p>", "message": f"<p>{message}</p>"}}
