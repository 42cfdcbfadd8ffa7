"""Large files arrive at their signed addresses, whole or in parts."""

from __future__ import annotations

import json
import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hub_server.blobs import Blobs
from hub_server.database import Database
from hub_server.multipart import join, place
from hub_server.refusal import RefusedError
from hub_server.signing import Upload

ADDRESS = re.compile(r"/lfs/(\d{1,15})/([0-9a-f]{64})(?:/([1-9]\d{0,5}))?")
LONGEST = 1024 * 1024
"""Bytes of the list of parts."""


def is_upload(method: str, path: str) -> bool:
    """Return whether a request brings a large file, or says that its parts have come."""
    found = ADDRESS.fullmatch(path)
    return bool(found) and (method == "PUT" or (method == "POST" and not (found and found[3])))


async def receive(request: Request, path: str, database: Database, blobs: Blobs) -> Response:
    """Take a large file, a part of one, or the message that all parts have come.

    Raises:
        RefusedError: The address is not valid, or the bytes are not what was announced.
    """
    upload = _upload(path, request.query_params.get("size", ""))
    await run_in_threadpool(upload.check, database, request.query_params)
    if request.method == "POST":
        body = await _list(request)
        await run_in_threadpool(join, blobs, upload, body)
    else:
        await _bytes(request, upload, blobs)
    if not upload.part:
        await run_in_threadpool(received, database, upload.repository, upload.oid, upload.size)
    etag = f'"{upload.oid}-{upload.part}"' if upload.part else f'"{upload.oid}"'
    return JSONResponse({}, headers={"ETag": etag})


def _upload(path: str, size: str) -> Upload:
    found = ADDRESS.fullmatch(path)
    if not found or not size.isascii() or not size.isdigit() or len(size) > 15:
        raise RefusedError(403, "The address of this upload is not valid or too old.")
    return Upload(int(found[1]), found[2], int(size), int(found[3] or 0))


async def _list(request: Request) -> dict[str, object]:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LONGEST:
            raise RefusedError(413, f"The body has more than {LONGEST} bytes.")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return value


async def _bytes(request: Request, upload: Upload, blobs: Blobs) -> None:
    with blobs.receive(upload.size) as incoming:
        async for chunk in request.stream():
            incoming.write(chunk)
        if upload.part:
            incoming.check("", upload.size)
            await run_in_threadpool(incoming.wait_at, place(blobs, upload))
        else:
            incoming.check(upload.oid, upload.size)
            await run_in_threadpool(incoming.keep)


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
