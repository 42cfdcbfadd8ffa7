"""Patterns of ``.gitignore`` and ``.gitattributes``: which paths they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator

MOST = 1000
"""Lines of a file that are looked at."""

LONGEST = 300
"""Characters of a line that is looked at."""


def ignored(text: str, path: str) -> bool:
    """Return whether a ``.gitignore`` leaves a path out; its last line that fits decides.

    Args:
        text: The file's content.
        path: The path, relative to the file's folder.
    """
    found = False
    for line in _lines(text):
        pattern = line.removeprefix("!")
        if any(_fits(pattern, part, whole=part == path) for part in _parts(path)):
            found = not line.startswith("!")
    return found


def large(text: str, path: str) -> bool | None:
    """Return whether a ``.gitattributes`` sends a path the large way; None where it is silent."""
    found = None
    for line in _lines(text):
        pattern, *attributes = line.split()
        if _fits(pattern, path, whole=True):
            if "filter=lfs" in attributes:
                found = True
            elif {"-filter", "!filter"} & set(attributes):
                found = False
    return found


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines()[:MOST]:
        plain = line.strip()
        if plain and not plain.startswith("#") and len(plain) <= LONGEST:
            yield plain


def _parts(path: str) -> Iterator[str]:
    """Yield the folders that a path is in, then the path."""
    pieces = path.split("/")
    for depth in range(1, len(pieces) + 1):
        yield "/".join(pieces[:depth])


def _fits(pattern: str, path: str, *, whole: bool) -> bool:
    """Return whether a pattern means a path; ``whole`` where it is no folder."""
    if pattern.endswith("/"):
        if whole:
            return False
        pattern = pattern.rstrip("/")
    anchored = "/" in pattern
    subject = path if anchored else path.rpartition("/")[2]
    return _matches(pattern.lstrip("/").split("/"), subject.split("/"))


def _matches(pattern: list[str], path: list[str]) -> bool:
    """Compare piece by piece; ``**`` is any number of pieces."""
    reached = {0}
    for number, piece in enumerate(pattern):
        if piece == "**":
            last = number == len(pattern) - 1
            reached = {n for start in reached for n in range(start + last, len(path) + 1)}
        else:
            reached = {n + 1 for n in reached if n < len(path) and _piece(piece, path[n])}
    return len(path) in reached


def _piece(pattern: str, name: str) -> bool:
    """Compare one piece: ``*``, ``?`` and sets of characters, without backtracking over stars."""
    first, *rest = re.split(r"(?<!\\)\*+", pattern)
    start = _at(first, name, 0)
    if start is None or not rest:
        return start == len(name)
    *middle, last = rest
    for part in middle:
        found = (_at(part, name, at) for at in range(start, len(name) + 1))
        start = next((end for end in found if end is not None), None)
        if start is None:
            return False
    return any(_at(last, name, at) == len(name) for at in range(start, len(name) + 1))


def _at(part: str, name: str, at: int) -> int | None:
    """Return where a part without stars ends if it begins at a place of a name."""
    for token in re.findall(r"\[[!^]?\]?[^\]]*\]|\\.|.", part):
        if at >= len(name) or not _one(token, name[at]):
            return None
        at += 1
    return at


def _one(token: str, character: str) -> bool:
    if token == "?":
        return True
    if len(token) > 2 and token[0] == "[":
        inner = re.sub(r"^[!^]", "", token[1:-1])
        ranges = re.findall(r"(.)-(.)|(.)", inner)
        inside = any(a <= character <= b if a else character == c for a, b, c in ranges)
        return inside != (token[1] in "!^")
    return token[-1] == character if token[0] == "\\" else token == character
