"""``hub pull`` and ``hub lock``: fetch artifacts, and hold on to their bytes."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import click

from hub_core.cli.fetching import GARBAGE, download_flag, found
from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json
from hub_core.errors import RemoteError

REFERENCE = "OWNER/NAME[@REVISION]"


@click.command()
@click.argument("name", metavar=REFERENCE)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Put a copy there; by default it stays in the cache.",
)
@download_flag
@json_flag
def pull(name: str, target: Path | None, max_download: str | None, as_json: bool) -> None:
    """Fetch an artifact from the Hub, pinned and checked.

    Where hub.lock in this folder names it, exactly the locked bytes are fetched.
    """
    gc.set_threshold(GARBAGE)
    from hub_core.remote.reference import parse

    parse(name)
    if target is not None and target.exists():
        raise RemoteError(f"{target} exists already", hint="choose another folder")
    pulled = found(name, max_download)
    folder = pulled.folder
    if target is not None:
        folder = _copied(pulled.folder, target)
    if as_json:
        echo_json({"address": pulled.address, "folder": str(folder), "fetched": pulled.fetched})
    else:
        click.echo(folder)


def _copied(folder: Path, target: Path) -> Path:
    """Copy a fetched folder; it appears as a whole or not at all."""
    from hub_core.folders import new_folder

    with new_folder(target) as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
    return target


@click.command()
@click.argument("names", nargs=-1, required=True, metavar=f"{REFERENCE}...")
@download_flag
def lock(names: tuple[str, ...], max_download: str | None) -> None:
    """Write what names mean now into hub.lock.

    For each its commit and the sha256 of every file. Every later command in this folder that is
    given one of the names gets these bytes or an error. To move on to a newer commit, lock the
    name again.
    """
    from hub_core.remote import lockfile
    from hub_core.remote.endpoint import current
    from hub_core.remote.pull import hashes
    from hub_core.remote.reference import parse

    path = Path(lockfile.NAME)
    known = dict(lockfile.read(path).artifacts)
    for name in names:
        parse(name)
        pulled = found(name, max_download, locked=False)
        repository, _, commit = pulled.address.partition("@")
        files = hashes(pulled.folder)
        known[repository] = lockfile.Locked(endpoint=current().url, commit=commit, files=files)
        lockfile.write(path, lockfile.Lock(artifacts=known))
        click.echo(f"{path}: {repository} is locked at {commit[:12]}, {len(files)} files")
