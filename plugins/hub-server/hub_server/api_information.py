"""What one repository is."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from hub_server import history, shown
from hub_server.calls import Call


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
    return JSONResponse(shown.narrowed(value, shown.expanded(call.query)))
