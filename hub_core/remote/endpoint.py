"""Which Hub is spoken to, and which token it may see.

The address is ``HF_ENDPOINT``, or the Hugging Face Hub. A token is sent only to where it belongs:
``hub login`` notes for which Hub a token was made; every other one belongs to the Hugging Face
Hub, or, where ``HF_TOKEN`` names it, to a Hub on this machine.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hub_core import notes
from hub_core.errors import RemoteError

HUB = "https://huggingface.co"
TOKENS = "tokens.json"
"""The memory of which token belongs where: sha256 of a token to an origin."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Hub: its address, without a slash at the end, and the token it is shown, or empty."""

    url: str
    token: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a token is bound to."""
        return origin_of(self.url)

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return urlsplit(self.url).hostname in LOOPBACK

    @property
    def slug(self) -> str:
        """A name for folders; no two Hubs share one."""
        parts = urlsplit(self.url)
        told = f"{parts.hostname}-{parts.port or parts.scheme}".replace(":", "_")
        return f"{told}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"


def origin_of(url: str) -> str:
    """Return the origin of an address, its port always written out."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def current() -> Endpoint:
    """Return the Hub of this process and the token it may see.

    Raises:
        RemoteError: The address is not one, or would send everything in the clear.
    """
    from huggingface_hub import constants

    url = constants.ENDPOINT.rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment:
        raise RemoteError(
            f"HF_ENDPOINT is {url!r}, which is no address of a Hub",
            hint="write https://HOST, or unset it for the Hugging Face Hub",
        )
    endpoint = Endpoint(url)
    if parts.scheme == "http" and not endpoint.local:
        raise RemoteError(
            f"{url} is not encrypted, so anybody on the way could read and change what is sent",
            hint="use https; plain http is for a Hub on this machine",
        )
    return Endpoint(url, token_for(endpoint))


def token_for(endpoint: Endpoint) -> str:
    """Return the token that a Hub may see, or an empty text."""
    owners = notes.read(TOKENS)
    named = _from_environment()
    for token in (named, stored_token(), *_others()):
        owner = owners.get(digest(token), "")
        wanted = owner or origin_of(HUB)
        if token and (
            wanted == endpoint.origin or (token == named and not owner and endpoint.local)
        ):
            return token
    return ""


def withheld(endpoint: Endpoint) -> bool:
    """Return whether there is a token here that this Hub is not shown."""
    return not endpoint.token and bool(_from_environment() or stored_token())


def digest(token: str) -> str:
    """Return what a token is remembered by."""
    return hashlib.sha256(token.encode()).hexdigest()


def _from_environment() -> str:
    found = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or ""
    return found.strip()


def _others() -> list[str]:
    """Return the tokens of earlier logins, which may have been at other Hubs."""
    from huggingface_hub.utils import get_stored_tokens

    return list(get_stored_tokens().values())


def stored_token() -> str:
    """Return the token that was logged in with, or an empty text."""
    from huggingface_hub import constants

    try:
        return Path(constants.HF_TOKEN_PATH).read_text("utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RemoteError(
            f"{constants.HF_TOKEN_PATH} cannot be read: {error}", hint="log in again: hub login"
        ) from None
