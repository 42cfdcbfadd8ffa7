"""Repositories and files as the Hub's JSON shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import QueryParams

from hub_server.gitids import pointer
from hub_server.history import File
from hub_server.repositories import Repository


def when(seconds: float) -> str:
    """Return a time as the Hub writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def described(found: Repository) -> dict[str, Any]:
    """Return what a repository's card and configurations said when they were committed."""
    names = ("library_name", "pipeline_tag", "cardData", "config")
    return {"tags": [], **dict.fromkeys(names), **json.loads(found.card)}


def expanded(query: QueryParams) -> set[str]:
    """Return the properties that a caller wants instead of the usual ones."""
    return {*query.getlist("expand"), *query.getlist("expand[]")}


def narrowed(value: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """Return of a repository's properties those that are wanted; all where none is named."""
    if not wanted:
        return value
    return {key: held for key, held in value.items() if key in wanted | {"_id", "id", "modelId"}}


def repository(found: Repository, sha: str) -> dict[str, Any]:
    """Return what a repository's information shows, without its files."""
    known = described(found)
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
        "model-index": (known["cardData"] or {}).get("model-index"),
        **{key: value for key, value in known.items() if value is not None or key == "tags"},
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
