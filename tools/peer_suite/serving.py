"""The server under test: seeded with the suite's fixed users and tokens, and counting its calls."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from hub_server.access import keep_token, name_account
from hub_server.app import Hub
from hub_server.limits import RATE

ACCOUNTS = {
    "__DUMMY_HUB_USER__": "Dummy User",
    "DVUser": "Dataset Viewer",
    "EnterpriseAdmin": "Enterprise Admin",
    "valid_org_hub": "Dummy Hub Org",
}
"""Names with what is shown for them, as the suite expects them."""

HIDING = "EnterpriseOrgPrivate"
"""The team whose repositories are private unless it is said otherwise."""

TOKENS = {
    "hf_HubCITokenXXXXXXXXXXXXXXXXXXXXX": ("__DUMMY_HUB_USER__", ("valid_org_hub",)),
    "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": ("DVUser", ()),
    "hf_enterprise_admin_token": ("EnterpriseAdmin", (HIDING,)),
}
"""The suite's tokens, which are public and worth nothing elsewhere."""


class Counting:
    """A Hub that tells at ``/-/calls`` how often it was called."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.calls = hub, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == "/-/calls":
            await PlainTextResponse(str(self.calls))(scope, receive, send)
            return
        self.calls += 1
        await self.hub(scope, receive, send)


def seed(hub: Hub) -> None:
    """Give a fresh server the suite's users, teams and tokens."""
    with hub.database.writing() as db:
        for name, full in ACCOUNTS.items():
            name_account(db, name, full)
        name_account(db, HIDING, HIDING, hides=True)
        for token, (user, teams) in TOKENS.items():
            keep_token(db, token, user, "write", teams)


def main(folder: str) -> None:
    """Serve a fresh folder at a free port of this machine, and print the address."""
    hub = Hub(Path(folder), rate=RATE)
    seed(hub)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(Counting(hub), log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
