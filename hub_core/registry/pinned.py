"""The registries that count here: the shipped one, and others that this user accepted.

Another registry is accepted once, with the sha256 of its bytes, and a copy is kept: later commands
read the copy and need no network. Bytes that have changed are refused until they are accepted too.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from hub_core import __version__, notes
from hub_core.errors import RegistryError
from hub_core.registry.entries import Registry, together
from hub_core.registry.reading import fetch, is_address, parse

PINS = "registries.json"
"""The memory of accepted registries: address or file to the sha256 of its bytes."""
DAYS = "registries-since.json"
"""The memory of when they were first used: address or file to the day, in UTC."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A registry that this user accepted.

    Args:
        place: Its address or file.
        sha256: Of its bytes, as they were accepted.
        since: The day of its first use, such as ``2026-03-01``; ``unknown`` where that is lost.
    """

    place: str
    sha256: str
    since: str


@functools.cache
def shipped() -> Registry:
    """Return the registry that came with this hub-core."""
    data = files("hub_core.registry").joinpath("registry.json").read_bytes()
    return parse(data, f"hub-core {__version__}")


def known(added: Iterable[Registry] = ()) -> Registry:
    """Return everything that is listed: shipped, remembered, and what ``add`` returned just now.

    No network is used. An entry of an earlier registry is never replaced by a later one; what was
    left out for that, or because a copy is gone, is told in ``clashes``.
    """
    found, complaints = [shipped()], []
    for place, sha256 in remembered().items():
        try:
            found.append(parse(_kept(place, sha256), place))
        except RegistryError as error:
            complaints.append(f"{error.message}; {error.hint}")
    return together([*found, *added], complaints)


def remembered() -> dict[str, str]:
    """Return the accepted registries: place to sha256."""
    return notes.read(PINS)


def accepted() -> list[Accepted]:
    """Return the accepted registries by place, with their first use."""
    days = notes.read(DAYS)
    return [
        Accepted(place, sha256, days.get(place, "unknown"))
        for place, sha256 in sorted(remembered().items())
    ]


def add(place: str | Path, *, ask: Callable[[str], bool], accept_changes: bool = False) -> Registry:
    """Return another registry after its user has accepted it, and remember that.

    Args:
        place: A file or an https address.
        ask: Gets a question at first use, and returns whether the answer is yes.
        accept_changes: Take it although it has changed since it was accepted.

    Raises:
        RegistryError: It cannot be read, was not accepted, or has changed.
    """
    name = _name(place)
    data = fetch(place)
    registry = parse(data, name)
    sha256 = hashlib.sha256(data).hexdigest()
    before = remembered().get(name)
    if before is None and not ask(_question(name, registry, sha256)):
        raise RegistryError(
            f"the registry {name} was not accepted",
            hint="answer y, or give --yes to accept it unasked",
        )
    if before not in (None, sha256) and not accept_changes:
        raise RegistryError(
            f"the registry {name} has changed: it has sha256 {sha256}, accepted was {before}",
            hint="look at what changed, then give --accept to take it as it is now",
        )
    _keep(data, sha256)
    notes.note(PINS, name, sha256)
    if before is None:
        notes.note(DAYS, name, datetime.now(UTC).date().isoformat())
    return registry


def forget(place: str | Path) -> None:
    """Take back that a registry was accepted.

    Raises:
        RegistryError: It never was, or that cannot be written down.
    """
    name = _name(place)
    if name not in remembered():
        told = ", ".join(remembered()) or "none"
        raise RegistryError(
            f"the registry {name} was never accepted here", hint=f"accepted are: {told}"
        )
    notes.forget(PINS, name)
    notes.forget(DAYS, name)
    if name in remembered():
        raise RegistryError(
            f"{notes.cache_folder() / PINS} cannot be written, so the registry {name} still counts",
            hint="make that file writable, or give HUB_CORE_CACHE another folder",
        )


def _name(place: str | Path) -> str:
    """Return what a registry is remembered by."""
    return str(place) if is_address(place) else str(Path(place).resolve())


def _question(name: str, registry: Registry, sha256: str) -> str:
    count = len(registry.plugins)
    return (
        f"{name} is used for the first time. It lists {count} plugin{'' if count == 1 else 's'}"
        f" and has sha256 {sha256}. Trust it?"
    )


def _copy(sha256: str) -> Path:
    return notes.cache_folder() / "registries" / f"{sha256}.json"


def _keep(data: bytes, sha256: str) -> None:
    """Keep a copy, if this user's folder can be written."""
    target = _copy(sha256)
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _kept(place: str, sha256: str) -> bytes:
    try:
        data = _copy(sha256).read_bytes()
    except OSError:
        raise RegistryError(
            f"the copy of the registry {place} is gone", hint=f"give --registry {place} once more"
        ) from None
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise RegistryError(
            f"the copy of the registry {place} has sha256 {actual}, accepted was {sha256}",
            hint=f"give --registry {place} once more",
        )
    return data
