"""Shapes of names: of repositories, of files and of references. Everything else is refused."""

from __future__ import annotations

import re

from hub_server.refusal import RefusedError

PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_PATH = 1024
"""Characters of a file's path."""

LONGEST_PIECE = 255
"""Bytes of one piece of a path, which is what file systems take."""

DRIVE = re.compile(r"[A-Za-z]:|.*:[:$]")
"""A drive, or the hidden stream of a file, which Windows takes for places of their own."""

RESERVED = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)


def check_repository(owner: str, name: str) -> None:
    """Refuse a name that no repository may have."""
    for part in (owner, name):
        if not PART.fullmatch(part) or ".." in part or "--" in part or part.endswith(".git"):
            raise RefusedError(400, f"{owner}/{name} is no name for a repository.", "InvalidName")


def is_text(value: str) -> bool:
    """Return whether a text can be written: JSON can name halves of characters, UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_path(path: str) -> str:
    """Return a file's path as it is.

    Raises:
        RefusedError: It could leave the folder of a download, or is no file name everywhere.
    """
    if reason := _fault(path):
        raise RefusedError(422, f"The path {path[:200]!r} {reason}.", "InvalidPath")
    return path


def _fault(path: str) -> str:
    if not path or len(path) > LONGEST_PATH:
        return f"has no or more than {LONGEST_PATH} characters"
    if "\\" in path or not path.isprintable():
        return "holds a backslash or a control character"
    for piece in path.split("/"):
        if piece in {"", ".", ".."} or piece.casefold() == ".git" or DRIVE.match(piece):
            return "is not a plain relative path"
        if len(piece.encode()) > LONGEST_PIECE or piece[-1] in " ." or RESERVED.fullmatch(piece):
            return "is not a file name on every system"
    return ""


def check_reference(name: str) -> str:
    """Return the name of a branch or tag as it is.

    Raises:
        RefusedError: git would not take it, or it could be mistaken for a commit.
    """
    pieces = name.split("/")
    bad = (
        not re.fullmatch(r"[A-Za-z0-9._/+-]{1,200}", name)
        or pieces[0] == "refs"
        or any(not p or p[0] in ".-" or p.endswith((".", ".lock")) or ".." in p for p in pieces)
        or COMMIT.fullmatch(name)
    )
    if bad:
        raise RefusedError(400, f"{name[:200]!r} is no name for a branch or tag.", "InvalidName")
    return name
