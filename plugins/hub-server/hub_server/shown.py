"""Repositories and files as the Hub's JSON shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hub_server.gitids import pointer
from hub_server.history import File
from hub_server.repositories import Repository


def when(seconds: float) -> str:
    """Return a time as the Hub writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def repository(found: Repository, sha: str) -> dict[str, Any]:
    """Return what lists show of a repository."""
    described: dict[str, Any] = {
        "tags": [],
        "library_name": None,
        "pipeline_tag": None,
        "cardData": None,
    }
    described |= json.loads(found.card)
    return {
        "_id": f"{found.id:024x}",
        "id": found.full,
        "modelId": found.full,
        "author": found.owner,
        "sha": sha,
        "private": found.private,
        "gated": found.gated or False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "createdAt": when(found.created),
        "lastModified": when(found.modified),
        "model-index": (described["cardData"] or {}).get("model-index"),
        **{key: value for key, value in described.items() if value is not None or key == "tags"},
    }


def sibling(file: File, *, sizes: bool) -> dict[str, Any]:
    """Return a file as a repository's information shows it."""
    value: dict[str, Any] = {"rfilename": file.path}
    if sizes:
        value |= {"size": file.size, "blobId": file.git}
        if file.large:
            value["lfs"] = {
                "sha256": file.sha256,
                "size": file.size,
                "pointerSize": len(pointer(file.sha256, file.size)),
            }
    return value


def entry(file: File) -> dict[str, Any]:
    """Return a file as a tree shows it."""
    value = {"type": "file", "path": file.path, "size": file.size, "oid": file.git}
    if file.large:
        value["lfs"] = {
            "oid": file.sha256,
            "size": file.size,
            "pointerSize": len(pointer(file.sha256, file.size)),
        }
    return value


def folder(path: str, oid: str) -> dict[str, Any]:
    """Return a folder as a tree shows it."""
    return {"type": "directory", "path": path, "size": 0, "oid": oid}
