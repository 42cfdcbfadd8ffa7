"""Lists of repositories, narrowed by words, tags and owners."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from hub_server import history, shown
from hub_server.calls import Call
from hub_server.pages import page
from hub_server.refusal import RefusedError
from hub_server.repositories import Repository, check_writes, from_row

SORTS = {
    "": "modified", "lastModified": "modified", "last_modified": "modified",
    "createdAt": "created", "created_at": "created", "downloads": "modified", "likes": "modified",
    "trendingScore": "modified",
}  # fmt: skip
"""Columns by what a caller may sort by; nothing is counted here, so that counts are all equal."""

NOT_SERVED = ("apps", "inference", "inference_provider", "num_parameters")
FULL = ("siblings", "sha", "lastModified", "author", "gated", "disabled")
"""What only ``full`` lists show; the fewer of them, the shorter a list."""

KINDS_OF_TAG = ("library:", "language:", "pipeline_tag:")
"""Prefixes that a filter may have and tags of models have not."""

MOST = 1000
"""Repositories of one page."""


def listing(call: Call) -> Response:
    """Answer the repositories that the caller may see and that fit the question."""
    for name in NOT_SERVED:
        if name in call.query:
            message = f"This server cannot narrow lists by {name!r}."
            raise RefusedError(404, message, "NotImplemented")
    wanted, expanded = _wanted(call), shown.expanded(call.query)
    with call.database.reading() as db:
        found = [
            _shown(db, call, one, expanded) for one in _visible(db, call) if _fits(one, wanted)
        ]
    return page(call, found, MOST)


def _visible(db: sqlite3.Connection, call: Call) -> Iterator[Repository]:
    asked = call.query.get("sort", "")
    if asked not in SORTS:
        raise RefusedError(400, f"Lists cannot be sorted by {asked[:100]!r}.")
    question = f"SELECT * FROM repositories WHERE kind = ? ORDER BY {SORTS[asked]} DESC, id DESC"
    words = call.query.get("search", "").casefold().split()
    author = call.query.get("author", "").casefold()
    gated = call.query.get("gated", "").lower()
    for row in db.execute(question, (call.names["kind"].removesuffix("s"),)):
        one = from_row(row)
        if not call.caller.reads(one.owner, private=one.private):
            continue
        if gated and (gated in {"true", "1"}) != bool(one.gated):
            continue
        if author in {"", one.owner.casefold()} and all(w in one.full.casefold() for w in words):
            yield one


def _shown(
    db: sqlite3.Connection, call: Call, one: Repository, expanded: set[str]
) -> dict[str, Any]:
    head = history.at_ref(db, one.id, history.MAIN)
    value = shown.repository(one, head.oid if head else "")
    full = call.query.get("full", "").lower() in {"true", "1"}
    if full or "siblings" in expanded:
        held = history.files(db, head.id).values() if head else ()
        value["siblings"] = [shown.sibling(file, sizes=False) for file in held]
    if expanded:
        return shown.narrowed(value, expanded)
    left_out = () if full else FULL
    for name, ask in (("cardData", "cardData"), ("config", "config")):
        if call.query.get(ask, "").lower() not in {"true", "1"}:
            left_out = (*left_out, name)
    return {key: held for key, held in value.items() if key not in left_out}


def _wanted(call: Call) -> list[str]:
    names = [*call.query.getlist("filter"), *call.query.getlist("pipeline_tag")]
    return [part for name in names for part in name.split(",") if part]


def _fits(one: Repository, wanted: list[str]) -> bool:
    if not wanted:
        return True
    value = shown.described(one)
    known = {tag.casefold() for tag in (*value["tags"], value["pipeline_tag"] or "")}
    known |= {prefix + tag for prefix in KINDS_OF_TAG for tag in known}
    return all(want.casefold() in known for want in wanted)


def stored(call: Call) -> Response:
    """Answer what the repositories of the caller, or of a team, hold in bytes."""
    owner = call.names.get("team") or call.caller.user
    if not owner:
        raise RefusedError(401, "Invalid user token")
    with call.database.reading() as db:
        check_writes(call.caller, owner)
        question = "SELECT * FROM repositories WHERE owner = ? ORDER BY modified DESC, id DESC"
        own = [from_row(row) for row in db.execute(question, (owner,))]
        sizes = {one.id: _size(db, one) for one in own}
    total = sum(sizes.values()) or 1
    values = [
        {
            "id": one.full,
            "type": one.kind,
            "updatedAt": shown.when(one.modified),
            "visibility": "private" if one.private else "public",
            "storage": sizes[one.id],
            "storagePercent": sizes[one.id] / total,
        }
        for one in own
    ]
    return page(call, values, MOST)


def _size(db: sqlite3.Connection, one: Repository) -> int:
    """Return the bytes of all contents of a repository's history, each counted once."""
    question = (
        "SELECT sum(size) FROM (SELECT DISTINCT sha256, size FROM files JOIN commits"
        " ON commits.id = files.commit_id WHERE commits.repository = ?)"
    )
    return int(db.execute(question, (one.id,)).fetchone()[0] or 0)
