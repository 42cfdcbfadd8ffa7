"""Long lists in pages, the next one named by a Link header."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import URL
from starlette.responses import JSONResponse, Response

from hub_server.calls import Call
from hub_server.refusal import RefusedError


def page(
    call: Call, found: list[Any], most: int, headers: dict[str, str] | None = None
) -> Response:
    """Answer one page of a list.

    Args:
        call: Its query may hold ``limit`` and, from an earlier Link, ``cursor``.
        found: The whole list.
        most: How many go on one page at most.
        headers: What else goes into the answer's headers.
    """
    start, limit = _number(call, "cursor", 0), min(_number(call, "limit", most), most)
    headers = dict(headers or {})
    if limit and start + limit < len(found):
        url = URL(call.url).include_query_params(cursor=start + limit)
        headers["Link"] = f'<{url}>; rel="next"'
    return JSONResponse(found[start : start + limit], headers=headers)


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise RefusedError(400, f"{name!r} must be a whole number.")
    return int(text)
