"""Who one is on a Hub: tokens are kept by huggingface_hub, and noted with the Hub they are for."""

from __future__ import annotations

from dataclasses import dataclass

from hub_core import notes
from hub_core.errors import RemoteError
from hub_core.remote import endpoint as places
from hub_core.remote.connection import connected
from hub_core.remote.endpoint import Endpoint, current
from hub_core.remote.patience import patiently


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
        if not there.token and not there.local:
            raise _nobody(there)
        found = patiently(there.url, lambda: api.whoami(token=there.token or False))
    access = (found.get("auth") or {}).get("accessToken") or {}
    teams = tuple(str(team["name"]) for team in found.get("orgs") or ())
    return Account(str(found["name"]), teams, str(access.get("role", "")), there.url)


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
    import huggingface_hub

    there = Endpoint(current().url, token.strip())
    if not there.token or not there.token.isascii() or any(c.isspace() for c in there.token):
        raise RemoteError("that is no token", hint=f"make one at {there.url}/settings/tokens")
    account = whoami(there)
    with connected(there):
        try:
            huggingface_hub.login(there.token, add_to_git_credential=False)
        except (OSError, ValueError) as error:
            raise RemoteError(f"the token cannot be kept: {error}",
                              hint="check the folder of HF_HOME") from None  # fmt: skip
    notes.note(places.TOKENS, places.digest(there.token), there.origin)
    return account


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
