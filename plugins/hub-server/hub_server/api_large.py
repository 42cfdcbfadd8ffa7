"""Large files are asked for, and verified once they were sent."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from hub_server import multipart
from hub_server.access import Caller
from hub_server.calls import Call, texts
from hub_server.names import SHA256
from hub_server.refusal import RefusedError
from hub_server.signing import Upload

LARGEST = 1024**4
MOST = 1000
"""Objects of one call."""


def batch(call: Call) -> Response:
    """Answer where large files go that this repository does not have."""
    value = call.json()
    listed = value.get("objects")
    if value.get("operation") != "upload" or not isinstance(listed, list) or len(listed) > MOST:
        raise RefusedError(422, f"Only uploads of up to {MOST} objects are served.")
    pairs = [_checked(one) for one in listed]
    with call.database.reading() as db:
        found = call.repository(db)
        _check(call.caller)
        question = "SELECT sha256 FROM large WHERE repository = ?"
        known = {row[0] for row in db.execute(question, (found.id,))}
    wanted = [Upload(found.id, oid, size) for oid, size in pairs if oid not in known]
    in_parts = _in_parts(value, wanted)
    verify = {"href": f"{call.base}/{found.place}.git/info/lfs/verify"}
    actions = {
        one.oid: {"upload": _action(call, one, in_parts), "verify": verify} for one in wanted
    }
    objects = [
        {"oid": oid, "size": size} | ({"actions": actions[oid]} if oid in actions else {})
        for oid, size in pairs
    ]
    transfer = "multipart" if in_parts else "basic"
    answer = {"transfer": transfer, "objects": objects, "hash_algo": "sha256"}
    return JSONResponse(answer, media_type="application/vnd.git-lfs+json")


def _check(caller: Caller) -> None:
    if caller.role != "write":
        raise RefusedError(
            403 if caller.user else 401, "A token that may write is needed to upload."
        )


def _checked(one: Any) -> tuple[str, int]:
    oid, size = (one.get("oid"), one.get("size")) if isinstance(one, dict) else (None, None)
    if not isinstance(oid, str) or not SHA256.fullmatch(oid) or type(size) is not int:
        raise RefusedError(422, "An object needs a sha256 and a size.")
    if not 0 <= size <= LARGEST:
        raise RefusedError(422, f"A file may have up to {LARGEST} bytes.")
    return oid, size


def _in_parts(value: dict[str, Any], wanted: list[Upload]) -> bool:
    """Return whether the caller can send parts and has a file for it."""
    offered = value.get("transfers")
    able = isinstance(offered, list) and "multipart" in offered
    return able and any(one.size >= multipart.FROM for one in wanted)


def _action(call: Call, upload: Upload, in_parts: bool) -> dict[str, Any]:
    """Return where a file goes; the parts' addresses are where the client looks for them."""
    href = f"{call.base}{upload.path(call.database)}"
    if not in_parts or upload.size < multipart.FROM:
        return {"href": href}
    places = {
        str(part.part): f"{call.base}{part.path(call.database)}" for part in multipart.parts(upload)
    }
    return {"href": href, "header": {"chunk_size": str(multipart.PART), **places}}


def verify(call: Call) -> Response:
    """Answer whether a large file has arrived."""
    value = call.json()
    row = (texts(value, "oid"), value.get("size"))
    with call.database.reading() as db:
        found = call.repository(db)
        question = "SELECT 1 FROM large WHERE repository = ? AND sha256 = ? AND size = ?"
        if type(row[1]) is not int or not db.execute(question, (found.id, *row)).fetchone():
            raise RefusedError(404, "The content was not uploaded.")
    return JSONResponse({})
