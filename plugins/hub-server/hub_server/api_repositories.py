"""Repositories are made, deleted, set and moved."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]
from starlette.responses import JSONResponse, Response

from hub_server import access, repositories
from hub_server.calls import Call, texts
from hub_server.committing import first_commit
from hub_server.refusal import RefusedError


def _named(call: Call, value: dict[str, Any]) -> tuple[str, str, str]:
    kind = texts(value, "type", "model")
    if kind not in repositories.KINDS:
        raise RefusedError(400, f"There are no repositories of the type {kind!r}.")
    owner, name = texts(value, "organization"), texts(value, "name")
    if not owner and "/" in name:
        owner, _, name = name.partition("/")
    return kind, owner or call.caller.user, name


def _private(value: dict[str, Any], default: bool) -> bool:
    if "visibility" in value:
        return bool(value["visibility"] != "public")
    return bool(value.get("private", default))


def _gated(value: dict[str, Any], default: str) -> str:
    wanted = value.get("gated", default)
    if wanted in (False, None, ""):
        return ""
    if wanted not in ("auto", "manual"):
        raise RefusedError(400, "'gated' must be 'auto', 'manual' or false.")
    return str(wanted)


def create(call: Call) -> Response:
    """Make a repository with a first commit."""
    value = call.json()
    kind, owner, name = _named(call, value)
    if not call.caller.user:
        raise RefusedError(401, "A token is needed to make a repository.")
    place = f"{owner}/{name}" if kind == "model" else f"{kind}s/{owner}/{name}"
    answer = {"url": f"{call.base}/{place}", "name": f"{owner}/{name}"}
    try:
        with call.database.writing() as db:
            private = _private(value, default=access.hides(db, owner))
            number = repositories.create(db, kind, owner, name, private=private, caller=call.caller)
            first_commit(db, number, call.blobs, call.caller.user, _readme(kind, name, value))
            answer["id"] = str(number)
    except RefusedError as refusal:
        if refusal.status != 409:
            raise
        return JSONResponse(
            answer | {"error": refusal.message}, 409, {"X-Error-Message": refusal.message}
        )
    return JSONResponse(answer)


def _readme(kind: str, name: str, value: dict[str, Any]) -> str:
    """Return the card that a new space starts with; others start without."""
    if kind != "space":
        return ""
    header = {"title": name, "sdk": texts(value, "sdk") or "static", "app_file": "app.py"}
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n"


def delete(call: Call) -> Response:
    """Delete a repository with its history."""
    kind, owner, name = _named(call, call.json())
    with call.database.writing() as db:
        found = repositories.find(db, kind, owner, name, call.caller)
        repositories.check_writes(call.caller, found.owner)
        db.execute("UPDATE commits SET parent = NULL WHERE repository = ?", (found.id,))
        db.execute("DELETE FROM repositories WHERE id = ?", (found.id,))
    return JSONResponse({})


def settings(call: Call) -> Response:
    """Set who may see a repository, and who may read its files."""
    value = call.json()
    with call.database.writing() as db:
        found = call.repository(db, write=True)
        private, gated = _private(value, default=found.private), _gated(value, found.gated)
        question = "UPDATE repositories SET private = ?, gated = ? WHERE id = ?"
        db.execute(question, (private, gated, found.id))
    return JSONResponse({"private": private, "gated": gated or False})


def move(call: Call) -> Response:
    """Give a repository another name."""
    value = call.json()
    source, target = texts(value, "fromRepo"), texts(value, "toRepo")
    kind = texts(value, "type", "model")
    (owner, _, name), (new_owner, _, new_name) = source.partition("/"), target.partition("/")
    with call.database.writing() as db:
        found = repositories.find(db, kind, owner, name, call.caller)
        for one in (found.owner, new_owner):
            repositories.check_writes(call.caller, one)
        repositories.move(db, found, new_owner, new_name)
    return JSONResponse({"url": f"{call.base}/{target}"})
