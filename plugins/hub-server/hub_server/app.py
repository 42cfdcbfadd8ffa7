"""The ASGI application: checks the caller, reads the body, calls the handler, words refusals."""

from __future__ import annotations

import errno
import logging
import re
import sqlite3
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from hub_server import access, uploads
from hub_server.blobs import Blobs
from hub_server.calls import Call, Route
from hub_server.database import Database
from hub_server.limits import Rate
from hub_server.refusal import RefusedError
from hub_server.repositories import MovedError
from hub_server.routes import ROUTES

LOG = logging.getLogger("hub_server")
IN_MEMORY = 1024 * 1024
"""Bytes of a body up to which it stays in memory."""

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SAFE = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
"""Names that lead to this machine and nowhere else."""


class Hub:
    """A Hub in a folder.

    Args:
        root: The folder; made if absent.
        hosts: The names that callers may use for it; None for any.
        rate: Calls that one caller may make in five minutes; 0 for any number.
    """

    def __init__(self, root: Path, hosts: set[str] | None = None, rate: int = 0) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.blobs, self.database = Blobs(root), Database(root / "hub.sqlite")
        self.hosts, self.rate = hosts, Rate(rate)
        self.blobs.clean()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        for name, value in (SAFE | _identity(request)).items():
            response.headers[name] = value
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._serve(request)
        except RefusedError as refusal:
            return refused(refusal)
        except MovedError as moved:
            return RedirectResponse(_elsewhere(request, moved), 307)
        except ClientDisconnect:
            return refused(RefusedError(400, "The connection broke."))
        except Exception as error:
            if _disk_is_full(error):
                return refused(RefusedError(507, "The server has no room left on its disk."))
            LOG.exception("a request failed")
            return refused(
                RefusedError(500, "The server failed; its log says why.", "InternalError")
            )

    async def _serve(self, request: Request) -> Response:
        self._check_origin(request)
        raw = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace")
        if uploads.is_upload(request.method, raw):
            return await uploads.receive(request, raw, self.database, self.blobs)
        route, names = _find(request.method, raw)
        caller = await run_in_threadpool(self._identify, request)
        self.rate.count(caller.user or (request.client.host if request.client else ""))
        with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(self.blobs.unfinished)) as body:
            await _read(request, body, route.limit)
            call = Call(
                base=str(request.base_url).rstrip("/"), url=str(request.url),
                query=request.query_params, headers=request.headers, names=names, body=body,
                caller=caller, database=self.database, blobs=self.blobs,
            )  # fmt: skip
            return await run_in_threadpool(route.handler, call)

    def _check_origin(self, request: Request) -> None:
        """Refuse pages of a browser, and names that lead here without being this server's."""
        host = request.headers.get("host", "").lower()
        name = re.sub(r":\d+$", "", host)
        if "origin" in request.headers or (self.hosts is not None and name not in self.hosts):
            raise RefusedError(403, "This server does not answer pages of other sites.")

    def _identify(self, request: Request) -> access.Caller:
        with self.database.reading() as db:
            return access.identify(db, request.headers.get("authorization", ""))


def _disk_is_full(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return error.sqlite_errorcode in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
    return isinstance(error, OSError) and error.errno in NO_ROOM


def _find(method: str, raw: str) -> tuple[Route, Mapping[str, str]]:
    pieces = raw.strip("/").split("/")
    wanted = "GET" if method == "HEAD" else method
    for kind, route in ROUTES:
        if (names := route.match(wanted, pieces)) is not None:
            if "/info/lfs/" in route.pattern:
                names["name"] = names["name"].removesuffix(".git")
            return route, {"kind": kind, **names}
    raise RefusedError(404, "This server has no such endpoint.", "NotImplemented")


async def _read(request: Request, body: IO[bytes], limit: int) -> None:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise RefusedError(413, f"The body has more than {limit} bytes.")
        body.write(chunk)
    body.seek(0)


def refused(refusal: RefusedError) -> Response:
    """Return a refusal as the Hub words it: in headers, and in JSON for people."""
    plain = refusal.message.encode("ascii", "replace").decode()
    headers = {"X-Error-Message": re.sub(r"[^ -~]", " ", plain), **refusal.extra}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return JSONResponse({"error": refusal.message}, refusal.status, headers)


def _identity(request: Request) -> dict[str, Any]:
    """Return the id by which a request is found again: the caller's if it has one."""
    given = request.headers.get("x-request-id") or request.headers.get("x-amzn-trace-id")
    known = given if given and re.fullmatch(r"[\w=;:.-]{1,200}", given) else str(uuid.uuid4())
    return {"X-Request-Id": known}


def _elsewhere(request: Request, moved: MovedError) -> str:
    """Return the address of the same thing under a repository's new name."""
    raw = request.scope["raw_path"].decode("ascii", "replace")
    start = re.match(r"/(api/)?((?:models|datasets|spaces|kernels)/)?[^/]+/[^/]+", raw)
    assert start is not None
    query = f"?{request.url.query}" if request.url.query else ""
    new = f"/{start[1] or ''}{start[2] or ''}{moved.to.full}{raw[start.end() :]}"
    return f"{str(request.base_url).rstrip('/')}{new}{query}"
