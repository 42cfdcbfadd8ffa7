"""The large files of a repository's whole history, listed and forgotten."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from hub_server import history, shown
from hub_server.calls import Call
from hub_server.committing import describe
from hub_server.pages import page
from hub_server.refusal import RefusedError
from hub_server.rewriting import forget

MOST = 1000
"""Files of one page, and of one call to forget some."""

QUESTION = """
SELECT files.sha256, files.path, files.size, min(commits.time) AS time,
       (SELECT max(refs.name) FROM refs JOIN files AS held ON held.commit_id = refs.commit_id
        WHERE refs.repository = commits.repository AND held.sha256 = files.sha256
          AND (refs.name = 'refs/heads/main' OR NOT EXISTS (
              SELECT 1 FROM refs AS other JOIN files AS there ON there.commit_id = other.commit_id
              WHERE other.repository = commits.repository AND other.name = 'refs/heads/main'
                AND there.sha256 = files.sha256))) AS ref
FROM files JOIN commits ON commits.id = files.commit_id
WHERE commits.repository = ? AND files.large
GROUP BY files.sha256 ORDER BY time, files.path
"""


def listing(call: Call) -> Response:
    """Answer each large file once, with a reference that holds it, main if it does."""
    with call.database.reading() as db:
        found = call.repository(db, write=True)
        known = [_shown(row) for row in db.execute(QUESTION, (found.id,))]
    return page(call, known, MOST)


def _shown(row: Any) -> dict[str, Any]:
    return {
        "fileOid": row["sha256"],
        "oid": row["sha256"],
        "filename": row["path"],
        "size": row["size"],
        "pushedAt": shown.when(row["time"]),
        "ref": row["ref"],
    }


def delete(call: Call) -> Response:
    """Forget large files in all commits; what is on disk stays there."""
    asked = call.json().get("deletions")
    wanted = asked.get("sha") if isinstance(asked, dict) else None
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise RefusedError(400, "'deletions' must hold 'sha', a list of texts.")
    if len(wanted) > MOST:
        raise RefusedError(400, f"At most {MOST} files may be deleted at once.")
    if not isinstance(asked, dict) or asked.get("rewriteHistory") is not True:
        raise RefusedError(400, "Large files are deleted only with 'rewriteHistory'.")
    with call.database.writing() as db:
        found = call.repository(db, write=True)
        forget(db, found.id, set(wanted))
        head = history.resolve(db, found.id, history.MAIN)
        describe(db, call.blobs, found.id, history.files(db, head.id))
    return JSONResponse({})
