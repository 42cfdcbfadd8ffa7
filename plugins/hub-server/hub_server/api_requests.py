"""Pull requests are opened and looked at; what people say about them has no place here."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from hub_server import history, pull_requests, shown
from hub_server.calls import Call, texts
from hub_server.pull_requests import PullRequest
from hub_server.refusal import RefusedError
from hub_server.repositories import Repository

PAGE = 50
"""Pull requests of one page."""


def make(call: Call) -> Response:
    """Open a pull request that changes nothing yet."""
    value = call.json()
    if value.get("pullRequest") is not True:
        raise RefusedError(404, "This server has no discussions.", "NotImplemented")
    title = texts(value, "title").strip()
    if not 3 <= len(title) <= 200:
        raise RefusedError(400, "A title has 3 to 200 characters.")
    with call.database.writing() as db:
        found = call.repository(db)
        check_asks(call)
        head = history.resolve(db, found.id, history.MAIN)
        made = pull_requests.ask(
            db, found.id, title, texts(value, "description"),
            author=call.caller.user, start=history.MAIN, at=head,
        )  # fmt: skip
    return JSONResponse(_brief(call, found, made) | {"url": _url(call, found, made)})


def check_asks(call: Call) -> None:
    """Refuse a caller that may not open pull requests."""
    if call.caller.role != "write":
        status = 403 if call.caller.user else 401
        raise RefusedError(status, "A token that may write is needed to open a pull request.")


def listing(call: Call) -> Response:
    """Answer a repository's pull requests."""
    with call.database.reading() as db:
        found = call.repository(db)
        known = pull_requests.asked(db, found.id)
    query = call.query
    other = query.get("type") == "discussion" or query.get("status") == "closed"
    author = query.get("author")
    known = [one for one in known if not other and author in {None, one.author}]
    page = query.get("p", "0")
    start = int(page) * PAGE if page.isascii() and page.isdigit() and len(page) < 9 else 0
    shown_here = [_brief(call, found, one) for one in known[start : start + PAGE]]
    return JSONResponse({"discussions": shown_here, "count": len(known), "start": start})


def details(call: Call) -> Response:
    """Answer one pull request."""
    with call.database.reading() as db:
        found = call.repository(db)
        known = pull_requests.asked(db, found.id)
    one = next((one for one in known if str(one.number) == call.names["number"]), None)
    if one is None:
        raise RefusedError(404, f"There is no pull request {call.names['number']}.")
    return JSONResponse(
        _brief(call, found, one)
        | {
            "changes": {"base": one.start},
            "filesWithConflicts": [],
            "events": [_said(one)],
            "diffUrl": None,
        }
    )


def _url(call: Call, found: Repository, one: PullRequest) -> str:
    return f"{call.base}/{found.place}/discussions/{one.number}"


def _brief(call: Call, found: Repository, one: PullRequest) -> dict[str, Any]:
    return {
        "num": one.number,
        "title": one.title,
        "author": {"name": one.author, "type": "user"},
        "createdAt": shown.when(one.time),
        "status": "open",
        "isPullRequest": True,
        "pinned": False,
        "repo": {"name": found.full, "type": found.kind},
    }


def _said(one: PullRequest) -> dict[str, Any]:
    """Return the description as the first thing that was said."""
    return {
        "id": f"{one.number:024x}",
        "type": "comment",
        "createdAt": shown.when(one.time),
        "author": {"name": one.author, "type": "user"},
        "data": {"edited": False, "hidden": False, "latest": {"raw": one.description}},
    }
