"""Get a registry from a file or an https address, and check it before anything uses it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pydantic import ValidationError

from hub_core import __version__
from hub_core.errors import RegistryError, listed
from hub_core.registry.entries import FORMAT, Registry
from hub_core.remote.endpoint import LOOPBACK
from hub_core.wording import shown

MAX_BYTES = 8 * 2**20
"""Bytes of a registry, at most."""
PATIENCE = 60.0
"""Seconds for a whole download; ``SILENCE`` for a server that says nothing."""
SILENCE = 15.0
SHOWN = 10


def read(place: str | Path) -> Registry:
    """Return the checked registry at a file or an https address.

    Raises:
        RegistryError: It cannot be had, is too large, is not JSON or breaks the schema.
    """
    return parse(fetch(place), str(place))


def is_address(place: str | Path) -> bool:
    """Return whether a place is an address rather than a file."""
    return isinstance(place, str) and "://" in place


def fetch(place: str | Path) -> bytes:
    """Return the bytes of a registry.

    Raises:
        RegistryError: They cannot be had, or there are too many.
    """
    data = _download(str(place)) if is_address(place) else _from_disk(Path(place))
    if len(data) > MAX_BYTES:
        raise RegistryError(
            f"{place} is larger than {MAX_BYTES // 2**20} MiB, the most that a registry may have",
            hint="check that this is a registry.json",
        )
    return data


def parse(data: bytes, place: str) -> Registry:
    """Return the registry in some bytes; every entry knows that it is from ``place``.

    Raises:
        RegistryError: They are not JSON, have a newer format or break the schema.
    """
    try:
        values = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise RegistryError(
            f"{place} is not JSON: {error}", hint="check that this is a registry.json"
        ) from None
    newest = values.get("format") if isinstance(values, dict) else None
    if isinstance(newest, int | float) and newest > FORMAT:
        raise RegistryError(
            f"{place} has format {newest}, this hub-core reads up to {FORMAT}",
            hint="update hub-core",
        )
    try:
        return Registry.model_validate(values).listed_by(place)
    except ValidationError as error:
        problems = list(dict.fromkeys(_problem(e, values) for e in error.errors()))
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise RegistryError(
            f"{place} is not a registry:{listed(problems[:SHOWN] + more)}",
            hint="tell those who publish it; registry.schema.json says what one holds",
        ) from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _problem(error: Mapping[str, Any], values: Any) -> str:
    where = _path(error["loc"], values, missing=error["type"] == "missing")
    if error["type"] == "missing":
        return f"{where}: must be given"
    text = error["msg"].removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    if "[key]" in error["loc"]:
        text = f"the name {shown(error['input'])} cannot be used: {text}"
    return f"{where}: {text}" if where else text


def _path(loc: Sequence[str | int], values: Any, *, missing: bool) -> str:
    """Return where an error is in the file; the steps that only pydantic knows are left out."""
    path = ""
    for number, part in enumerate(loc):
        there = part in values if isinstance(values, dict) else False
        if isinstance(values, list) and isinstance(part, int) and part < len(values):
            path, values = f"{path}[{part}]", values[part]
        elif there and "[key]" not in loc[number + 1 : number + 2]:
            path, values = f"{path}.{part}", values[part]
        elif missing and number == len(loc) - 1:
            path = f"{path}.{part}"
    return path.removeprefix(".")


# -- files and addresses


def _from_disk(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise RegistryError(
            f"there is no registry at {path}", hint="name a file or an https address"
        ) from None
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be read: {error.strerror}", hint="name a file or an https address"
        ) from None


def _download(url: str) -> bytes:
    import http.client
    import urllib.request
    from urllib.error import HTTPError

    local = _checked(url)

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, *rest: Any) -> Any:
            if _checked(rest[-1]) and not local:
                raise RegistryError(
                    f"{url} leads to {shown(rest[-1])}, which is on this machine",
                    hint="tell those who publish it",
                )
            return super().redirect_request(req, fp, code, msg, *rest)

    proxies = [urllib.request.ProxyHandler({})] if local else []
    opener = urllib.request.build_opener(Redirects, *proxies)
    request = urllib.request.Request(url, headers={"User-Agent": f"hub-core/{__version__}"})
    try:
        with opener.open(request, timeout=SILENCE) as answer:
            return _all_of(answer)
    except HTTPError as error:
        with error:
            reason = f"the server answers {error.code}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
    raise RegistryError(
        f"{url} cannot be reached: {reason}",
        hint="check the address and the network; a copy on disk works too",
    )


def _all_of(answer: Any) -> bytes:
    """Return what a server sends, up to one byte more than is allowed."""
    data, until = b"", time.monotonic() + PATIENCE
    while len(data) <= MAX_BYTES and (block := answer.read(2**16)):
        data += block
        if time.monotonic() > until:
            raise TimeoutError(f"it took more than {PATIENCE:.0f} s")
    return data


def _checked(url: str) -> bool:
    """Return whether an address is on this machine.

    Raises:
        RegistryError: It is none, or it is elsewhere and not encrypted.
    """
    try:
        parts = urlsplit(url)
        local, secret = parts.hostname in LOOPBACK, parts.password or parts.username
    except ValueError:
        parts, local, secret = urlsplit(""), False, None
    if secret:
        raise RegistryError(
            f"the address of a registry at {parts.hostname} holds a name or password",
            hint="download it and name the file",
        )
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise RegistryError(
            f"{shown(url)} is no address of a registry", hint="write https://HOST/registry.json"
        )
    if parts.scheme == "http" and not local:
        raise RegistryError(
            f"{url} is not encrypted, so anybody on the way could change it",
            hint="use https; plain http is for this machine",
        )
    return local
