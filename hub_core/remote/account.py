"""Who one is on a Hub: tokens are kept by huggingface_hub, and noted with the Hub they are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from hub_core import notes
from hub_core.errors import RemoteError
from hub_core.remote import endpoint as places
from hub_core.remote.connection import connected
from hub_core.remote.endpoint import Endpoint, current
from hub_core.remote.patience import patiently
from hub_core.remote.wording import first_line


class _Team(BaseModel):
    name: str


class _AccessToken(BaseModel):
    role: str = ""


class _Access(BaseModel):
    accessToken: _AccessToken | None = None  # noqa: N815  the Hub's own word


class _Answer(BaseModel):
    """What a Hub says of whoever asks."""

    name: str
    orgs: list[_Team] | None = None
    auth: _Access | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a Hub, the teams it may publish for, and what its token may do."""

    user: str
    teams: tuple[str, ...]
    role: str
    url: str


def whoami(endpoint: Endpoint | None = None) -> Account:
    """Return who the Hub takes us for.

    Raises:
        RemoteError: There is no token for this Hub, or it does not accept it.
    """
    with connected(endpoint) as (api, there):
        if not there.token:
            raise _nobody(there)
        found = patiently(there.url, lambda: api.whoami(token=there.token))
    return _account(found, there)


def _account(found: Any, endpoint: Endpoint) -> Account:
    """Return a Hub's answer as an account, with nothing in it that a terminal would obey."""
    try:
        answer = _Answer.model_validate(found)
    except ValidationError:
        raise RemoteError(
            f"{endpoint.url} does not say who you are",
            hint="check that HF_ENDPOINT is the address of a Hub",
        ) from None
    token = answer.auth.accessToken if answer.auth else None
    teams = tuple(first_line(team.name) for team in answer.orgs or ())
    role = first_line(token.role) if token and token.role else ""
    return Account(first_line(answer.name), teams, role, endpoint.url)


def _nobody(endpoint: Endpoint) -> RemoteError:
    if places.withheld(endpoint):
        return RemoteError(
            f"you are not logged in at {endpoint.url}; the token that is here belongs to another "
            "Hub and is not shown to this one",
            hint="log in with a token of this Hub: hub login",
        )
    return RemoteError(f"you are not logged in at {endpoint.url}", hint="log in: hub login")


def login(token: str) -> Account:
    """Check a token, keep it where huggingface_hub keeps tokens, and note which Hub it is for.

    Raises:
        RemoteError: The Hub does not accept it, or it cannot be kept; nothing is changed then.
    """
    there = Endpoint(current().url, token.strip())
    if not there.token or not there.token.isascii() or any(c.isspace() for c in there.token):
        raise RemoteError("that is no token", hint=f"make one at {there.url}/settings/tokens")
    account = whoami(there)
    _keep(there, account)
    notes.note(places.TOKENS, places.digest(there.token), there.origin)
    return account


def _keep(endpoint: Endpoint, account: Account) -> None:
    """Keep a token among the stored ones, under a name that no other Hub's has."""
    from huggingface_hub import auth_switch
    from huggingface_hub.utils import _auth

    name = f"{account.user} at {endpoint.slug}"
    try:
        _auth._save_token(token=endpoint.token, token_name=name)
        auth_switch(name)
    except (OSError, ValueError) as error:
        raise RemoteError(f"the token cannot be kept: {error}",
                          hint="check the folder of HF_HOME") from None  # fmt: skip


def logout() -> bool:
    """Forget the token of this Hub that was logged in with; return whether there was one.

    Raises:
        RemoteError: A token that is not kept by a login is still in use.
    """
    import huggingface_hub
    from huggingface_hub.utils import get_stored_tokens

    token = current().token
    names = [name for name, stored in get_stored_tokens().items() if token and stored == token]
    if not names:
        return False
    notes.forget(places.TOKENS, places.digest(token))
    try:
        for name in names:
            huggingface_hub.logout(name)
    except OSError as error:
        raise RemoteError(f"the token was forgotten, but {str(error).splitlines()[-1].strip()}",
                          hint="unset HF_TOKEN in this shell") from None  # fmt: skip
    return True
