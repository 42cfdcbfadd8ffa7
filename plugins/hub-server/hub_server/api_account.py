"""Who am I, may I, and is this card in order."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from hub_server import cards
from hub_server.calls import Call, texts
from hub_server.refusal import RefusedError
from hub_server.repositories import check_writes


def whoami(call: Call) -> Response:
    """Answer who owns the token."""
    caller = call.caller
    if not caller.user:
        raise RefusedError(401, "Invalid user token")
    teams = [{"name": t, "fullname": t, "roleInOrg": caller.role} for t in caller.teams]
    token = {"displayName": "hub serve", "role": caller.role}
    return JSONResponse(
        {
            "type": "user",
            "id": caller.user,
            "name": caller.user,
            "fullname": caller.user,
            "orgs": teams,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def may_read(call: Call) -> Response:
    """Answer whether the caller may read a repository."""
    with call.database.reading() as db:
        call.repository(db)
    return JSONResponse({})


def may_write(call: Call) -> Response:
    """Answer whether the caller may change a repository."""
    with call.database.reading() as db:
        check_writes(call.caller, call.repository(db).owner)
    return JSONResponse({})


def validate_card(call: Call) -> Response:
    """Answer whether a card's header can be read."""
    try:
        cards.header(texts(call.json(), "content"))
    except cards.CardError as error:
        return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
    return JSONResponse({"errors": [], "warnings": []})
