"""Ids of blobs, trees and commits as git computes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any


def git_id(kind: str, content: bytes) -> str:
    """Return the id of an object: blob, tree or commit."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """Return what git holds in place of a large file."""
    lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{sha256}", f"size {size}")
    return "".join(f"{line}\n" for line in lines).encode()


def trees(files: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return the id of each folder, the root's under the empty name.

    Args:
        files: Each file's path and its blob's id.
    """
    root: dict[str, Any] = {}
    for path, oid in files:
        *folders, name = path.split("/")
        here = root
        for folder in folders:
            here = here.setdefault(folder, {})
        here[name] = oid
    found: dict[str, str] = {}
    _tree(root, "", found)
    return found


def _tree(folder: Mapping[str, Any], at: str, found: dict[str, str]) -> str:
    lines = []
    for name, held in folder.items():
        below = isinstance(held, dict)
        oid = _tree(held, f"{at}/{name}".lstrip("/"), found) if below else held
        mode = "40000" if below else "100644"
        line = f"{mode} {name}\0".encode() + bytes.fromhex(oid)
        lines.append((f"{name}/" if below else name, line))
    pairs = sorted(lines, key=lambda pair: pair[0].encode())
    found[at] = git_id("tree", b"".join(line for _, line in pairs))
    return found[at]


def commit_id(tree: str, parent: str, author: str, time: int, message: str) -> str:
    """Return a commit's id; ``time`` is in seconds since 1970."""
    who = f"{author} <{author}@localhost> {time} +0000"
    lines = [f"tree {tree}", *([f"parent {parent}"] if parent else [])]
    lines += [f"author {who}", f"committer {who}", "", message]
    return git_id("commit", ("\n".join(lines) + "\n").encode())
