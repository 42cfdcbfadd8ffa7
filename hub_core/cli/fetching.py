"""Places that commands are given: a folder, or a name on the Hub that is pulled first."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hub_core.errors import RecipeError
from hub_core.figures import size

if TYPE_CHECKING:
    from hub_core.remote.pull import Pulled, Wishes

Command = TypeVar("Command", bound=Callable[..., Any])
GARBAGE = 100_000
"""Objects until garbage is looked for; imports make that many and none is garbage: 60 ms less."""
PLACE = "FOLDER|OWNER/NAME[@REVISION]"
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def place_argument(command: Command) -> Command:
    """Add the argument that says which artifact."""
    return click.argument("place", metavar=PLACE)(command)


def download_flag(command: Command) -> Command:
    """Add ``--max-download``."""
    return click.option(
        "--max-download",
        metavar="SIZE",
        help="What may be fetched, such as 20GB; default: 5GB.",
    )(command)


def bytes_of(text: str | None) -> int:
    """Return a size such as ``500MB`` in bytes.

    Raises:
        RecipeError: It reads otherwise.
    """
    from hub_core.remote.pull import LIMIT

    if text is None:
        return LIMIT
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)\s*([kmgt]?b?)", text.strip().lower())
    unit = (found[2] if found[2].endswith("b") or not found[2] else f"{found[2]}b") if found else ""
    if found is None or unit not in _UNITS:
        raise RecipeError(f"--max-download {text}: is no size", hint="write a number such as 20GB")
    return int(float(found[1]) * _UNITS[unit])


def found(place: str, max_download: str | None = None, *, locked: bool = True) -> Pulled:
    """Return where an artifact is, after pulling it where it is a name on the Hub.

    A ``hub.lock`` in this folder has the say where ``locked`` is set.
    """
    from hub_core.remote.found import find

    lock = lock_here() if locked else None
    limit = bytes_of(max_download)
    if Path(place).is_dir():
        return find(place)
    with progress(limit, lock) as wishes:
        pulled = find(place, wishes)
    if pulled.fetched:
        click.echo(f"Fetched {pulled.address}, {size(pulled.fetched)}.", err=True)
    return pulled


def lock_here() -> Path | None:
    """Return the ``hub.lock`` of this folder, which has the say over names, if there is one."""
    from hub_core.remote.lockfile import NAME

    return Path(NAME) if Path(NAME).is_file() else None


@contextlib.contextmanager
def progress(limit: int, lock: Path | None) -> Iterator[Wishes]:
    """Give wishes that draw a bar while bytes arrive, where somebody looks."""
    from hub_core.remote.pull import Wishes

    if not sys.stderr.isatty():
        yield Wishes(limit=limit, lock=lock)
        return
    with contextlib.ExitStack() as open_bars:
        bars: list[Any] = []

        def begin(total: int) -> None:
            open_bars.close()
            bar = click.progressbar(length=total, file=sys.stderr, label="Fetching")
            bars[:] = [open_bars.enter_context(bar)]

        yield Wishes(
            limit=limit, lock=lock, total=begin, progress=lambda count: bars[0].update(count)
        )
