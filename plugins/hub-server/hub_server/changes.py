"""A commit's body, line by line, and what it does to a tree."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from hub_server.blobs import Blobs
from hub_server.gitids import git_id, pointer
from hub_server.history import File
from hub_server.names import SHA256, check_path, is_text
from hub_server.refusal import RefusedError

LONGEST_LINE = 32 * 1024 * 1024
"""Bytes of one line, which holds one regular file."""

MOST_CHANGES = 25_000
MOST_FILES = 100_000


@dataclass
class Changes:
    """What a commit does, with every regular file already on disk."""

    title: str = ""
    message: str = ""
    parent: str = ""
    files: list[File] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def read(body: IO[bytes], blobs: Blobs) -> Changes:
    """Read a commit's body and keep its regular files.

    Raises:
        RefusedError: It is not what a client of the Hub sends, or holds a path that is refused.
    """
    changes = Changes()
    for key, value in _lines(body):
        if key == "header":
            changes.title = _text(value, "summary")[:1000]
            changes.message = _text(value, "description", "")
            changes.parent = _text(value, "parentCommit", "")
        elif key == "file":
            changes.files.append(_regular(value, blobs))
        elif key == "lfsFile":
            changes.files.append(_large(value))
        elif key == "deletedFile":
            changes.deleted.append(_text(value, "path"))
        elif key == "deletedFolder":
            changes.folders.append(_text(value, "path").strip("/"))
        else:
            raise RefusedError(400, f"The commit has a line of the unknown kind {key!r}.")
    if not changes.title:
        raise RefusedError(400, "The commit has no header with a summary.")
    return changes


def _lines(body: IO[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    count = 0
    while line := body.readline(LONGEST_LINE + 1):
        count += 1
        if len(line) > LONGEST_LINE:
            raise RefusedError(413, f"The commit has a line of more than {LONGEST_LINE} bytes.")
        if count > MOST_CHANGES:
            raise RefusedError(413, f"The commit changes more than {MOST_CHANGES} files.")
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            key, inner = value["key"], value["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RefusedError(400, f"Line {count} of the commit cannot be read.") from None
        if not isinstance(key, str) or not isinstance(inner, dict):
            raise RefusedError(400, f"Line {count} of the commit cannot be read.")
        yield key, inner


def _text(value: dict[str, Any], name: str, default: str | None = None) -> str:
    found = value.get(name)
    if found is None and default is not None:
        return default
    if not isinstance(found, str) or not is_text(found):
        raise RefusedError(400, f"The commit has a line without the text {name!r}.")
    return found


def _regular(value: dict[str, Any], blobs: Blobs) -> File:
    path, content = check_path(_text(value, "path")), _text(value, "content")
    if value.get("encoding", "utf-8") == "base64":
        try:
            raw = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError(400, f"The content of {path} is not base64.") from None
    else:
        raw = content.encode()
    return File(path, git_id("blob", raw), blobs.put(raw), len(raw), large=False)


def _large(value: dict[str, Any]) -> File:
    path, oid = check_path(_text(value, "path")), _text(value, "oid")
    if not SHA256.fullmatch(oid) or value.get("algo", "sha256") != "sha256":
        raise RefusedError(400, f"The large file {path} has no sha256.")
    return File(path, "", oid, -1, large=True)


def large_file(path: str, sha256: str, size: int) -> File:
    """Return a large file whose size is known."""
    return File(path, git_id("blob", pointer(sha256, size)), sha256, size, large=True)


def apply(changes: Changes, held: dict[str, File]) -> dict[str, File]:
    """Return the tree after the changes: deletions first, then additions.

    Raises:
        RefusedError: A deleted file is not there, or two paths are in each other's way.
    """
    new = dict(held)
    for folder in changes.folders:
        below = [path for path in new if path.startswith(f"{folder}/")]
        if not below:
            raise RefusedError(
                404, f"A folder with this name doesn't exist: {folder}", "EntryNotFound"
            )
        for path in below:
            del new[path]
    for path in changes.deleted:
        gone = [path] if path in new else [one for one in new if one.startswith(f"{path}/")]
        if not gone:
            raise RefusedError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for one in gone:
            del new[one]
    new |= {file.path: file for file in changes.files}
    _check_tree(new)
    return new


def _check_tree(held: dict[str, File]) -> None:
    if len(held) > MOST_FILES:
        raise RefusedError(413, f"A repository may hold {MOST_FILES} files.")
    seen: dict[str, str] = {}
    for path in held:
        pieces = path.split("/")
        for depth in range(1, len(pieces) + 1):
            part = "/".join(pieces[:depth])
            leaf = depth == len(pieces)
            if seen.setdefault(part.casefold(), part) != part:
                raise RefusedError(
                    422, f"{path} differs from {seen[part.casefold()]} in case only."
                )
            if not leaf and part in held:
                raise RefusedError(422, f"{part} cannot be a file and a folder.")
