"""Files are announced, then committed."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import PurePosixPath
from typing import Any

from starlette.responses import JSONResponse, Response

from hub_server import history
from hub_server.calls import Call, texts
from hub_server.changes import read
from hub_server.committing import commit as put
from hub_server.names import check_path
from hub_server.refusal import RefusedError
from hub_server.repositories import Repository, check_writes

LARGE = 10 * 1024 * 1024
"""Bytes from which on a file is a large one."""

BINARY = frozenset(
    {
        ".7z", ".arrow", ".bin", ".ckpt", ".ftz", ".gguf", ".gz", ".h5", ".joblib", ".lfs",
        ".mlmodel", ".model", ".msgpack", ".npy", ".npz", ".onnx", ".ot", ".parquet", ".pb",
        ".pickle", ".pkl", ".pt", ".pth", ".rar", ".safetensors", ".tar", ".tflite", ".tgz",
        ".wasm", ".xz", ".zip", ".zst",
    }
)  # fmt: skip
"""Endings of files that are large ones at any size."""


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
    return JSONResponse({"commitOid": head.oid, "files": [_announced(f, held) for f in listed]})


def _check(db: sqlite3.Connection, call: Call, found: Repository) -> None:
    """Refuse callers that may not commit, nor ask with a pull request of their own."""
    if call.query.get("create_pr") or _own_request(db, call, found):
        if call.caller.role != "write":
            raise RefusedError(403, "A token that may write is needed to open a pull request.")
    else:
        check_writes(call.caller, found.owner)


def _own_request(db: sqlite3.Connection, call: Call, found: Repository) -> bool:
    """Return whether the revision is a pull request whose newest commit is the caller's."""
    revision = call.names["revision"]
    head = history.at_ref(db, found.id, revision) if revision.startswith("refs/pr/") else None
    return head is not None and head.author == call.caller.user


def _announced(value: dict[str, Any], held: dict[str, history.File]) -> dict[str, Any]:
    path = check_path(texts(value, "path"))
    try:
        sample = base64.b64decode(texts(value, "sample"), validate=True)
    except ValueError:
        raise RefusedError(400, f"The sample of {path} is not base64.") from None
    size = value.get("size", 0)
    large = not isinstance(size, int) or size >= LARGE or b"\0" in sample
    large = large or PurePosixPath(path).suffix.lower() in BINARY
    answer = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
    if old := held.get(path):
        answer["oid"] = old.sha256 if old.large else old.git
    return answer


def commit(call: Call) -> Response:
    """Commit to a branch, or to a new pull request."""
    with call.database.reading() as db:
        _check(db, call, call.repository(db))
    changes = read(call.body, call.blobs)
    with call.database.writing() as db:
        found = call.repository(db)
        _check(db, call, found)
        number = _next_request(call, db, found)
        made = put(
            db, call.blobs, found.id, _branch(call.names["revision"]), changes,
            author=call.caller.user, new_ref=f"refs/pr/{number}" if number else "",
        )  # fmt: skip
    place = f"{call.base}/{found.place}"
    answer = {"success": True, "commitOid": made.oid, "commitUrl": f"{place}/commit/{made.oid}"}
    answer["hookOutput"] = ""
    if number:
        answer["pullRequestUrl"] = f"{place}/discussions/{number}"
    return JSONResponse(answer)


def _branch(revision: str) -> str:
    return revision if revision.startswith("refs/") else f"refs/heads/{revision}"


def _next_request(call: Call, db: sqlite3.Connection, found: Repository) -> int:
    """Count a new pull request where one is asked for, and return its number, else 0."""
    if not call.query.get("create_pr"):
        return 0
    db.execute("UPDATE repositories SET requests = requests + 1 WHERE id = ?", (found.id,))
    question = "SELECT requests FROM repositories WHERE id = ?"
    return int(db.execute(question, (found.id,)).fetchone()[0])
