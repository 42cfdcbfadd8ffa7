"""Who am I, may I, and is this card in order."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from hub_server import access, cards
from hub_server.calls import Call, texts
from hub_server.refusal import RefusedError
from hub_server.repositories import check_gate, check_writes


def whoami(call: Call) -> Response:
    """Answer who owns the token."""
    caller = call.caller
    if not caller.user:
        raise RefusedError(401, "Invalid user token")
    with call.database.reading() as db:
        full = {name: access.full_name(db, name) for name in (caller.user, *caller.teams)}
    teams = [
        {
            "type": "org",
            "id": t,
            "name": t,
            "fullname": full[t],
            "avatarUrl": "",
            "roleInOrg": caller.role,
        }
        for t in caller.teams
    ]
    token = {"displayName": "hub serve", "role": caller.role}
    return JSONResponse(
        {
            "type": "user",
            "id": caller.user,
            "name": caller.user,
            "fullname": full[caller.user],
            "avatarUrl": "",
            "isPro": False,
            "orgs": teams,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def may_read(call: Call) -> Response:
    """Answer whether the caller may read a repository."""
    with call.database.reading() as db:
        check_gate(call.caller, call.repository(db))
    return JSONResponse({})


def may_write(call: Call) -> Response:
    """Answer whether the caller may change a repository."""
    with call.database.reading() as db:
        check_writes(call.caller, call.repository(db).owner)
    return JSONResponse({})


def validate_card(call: Call) -> Response:
    """Answer whether a card's header can be read."""
    try:
        card = cards.header(texts(call.json(), "content"))
        faults = cards.faults(card)
    except cards.CardError as error:
        card, faults = {}, [str(error)]
    warnings = (
        [] if card or faults else [{"message": "empty or missing yaml metadata in repo card"}]
    )
    errors = [{"message": fault} for fault in faults]
    return JSONResponse({"errors": errors, "warnings": warnings}, 400 if errors else 200)
