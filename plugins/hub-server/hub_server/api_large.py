"""Large files: asked for, sent to a signed address, verified."""

from __future__ import annotations

import hmac
import time
from typing import Any

from starlette.responses import JSONResponse, Response

from hub_server.access import Caller
from hub_server.calls import Call, texts
from hub_server.database import Database
from hub_server.names import SHA256
from hub_server.refusal import RefusedError

LIFE = 6 * 3600
"""Seconds for which an address takes an upload."""

LARGEST = 1024**4
MOST = 1000
"""Objects of one call."""


def sign(database: Database, repository: int, oid: str, size: int, expires: int) -> str:
    """Return the signature of an upload's address."""
    with database.reading() as db:
        secret = db.execute("SELECT value FROM settings WHERE name = 'secret'").fetchone()[0]
    text = f"{repository}/{oid}/{size}/{expires}"
    return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()


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
    root = f"{call.base}/{found.place}"
    objects = [
        {"oid": oid, "size": size} if oid in known else _wanted(call, found.id, root, oid, size)
        for oid, size in pairs
    ]
    answer = {"transfer": "basic", "objects": objects, "hash_algo": "sha256"}
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


def _wanted(call: Call, repository: int, root: str, oid: str, size: int) -> dict[str, Any]:
    expires = int(time.time()) + LIFE
    signature = sign(call.database, repository, oid, size, expires)
    href = f"{call.base}/lfs/{repository}/{oid}?size={size}&expires={expires}&sig={signature}"
    verify = {"href": f"{root}.git/info/lfs/verify"}
    return {"oid": oid, "size": size, "actions": {"upload": {"href": href}, "verify": verify}}


def check_signature(
    database: Database, repository: str, oid: str, query: Any
) -> tuple[int, str, int]:
    """Return the repository, the sha256 and the size that a signed address is for.

    Raises:
        RefusedError: It was changed or is too old.
    """
    try:
        number, size, expires = int(repository), int(query["size"]), int(query["expires"])
    except (KeyError, ValueError):
        raise RefusedError(403, "The address of this upload is not valid.") from None
    wanted = sign(database, number, oid, size, expires)
    given = query.get("sig", "").encode()
    if not hmac.compare_digest(wanted.encode(), given) or expires < time.time():
        raise RefusedError(403, "The address of this upload is not valid or too old.")
    return number, oid, size


def received(database: Database, repository: int, oid: str, size: int) -> None:
    """Write down that a repository was given a content.

    Raises:
        RefusedError: The repository was deleted meanwhile.
    """
    with database.writing() as db:
        question = "SELECT 1 FROM repositories WHERE id = ?"
        if db.execute(question, (repository,)).fetchone() is None:
            raise RefusedError(404, "The repository is gone.", "RepoNotFound")
        db.execute("INSERT OR IGNORE INTO large VALUES (?, ?, ?)", (repository, oid, size))


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
