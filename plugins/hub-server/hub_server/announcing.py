"""Which way each announced file goes: as a large one, as a regular one, or not at all."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hub_server import patterns
from hub_server.blobs import Blobs
from hub_server.calls import texts
from hub_server.history import File
from hub_server.names import check_path
from hub_server.refusal import RefusedError

LARGE = 10 * 1024 * 1024
"""Bytes from which on a file is a large one."""

BINARY = frozenset(
    {
        ".7z", ".arrow", ".bin", ".ckpt", ".ftz", ".gguf", ".gz", ".h5", ".joblib", ".lfs",
        ".mlmodel", ".model", ".msgpack", ".npy", ".npz", ".onnx", ".ot", ".parquet", ".pb",
        ".pickle", ".pkl", ".pt", ".pth", ".rar", ".safetensors", ".tar", ".tflite", ".tgz",
        ".wasm", ".xz", ".zip", ".zst",
    }
)  # fmt: skip
"""Endings of files that are large ones at any size."""
LONGEST = 256 * 1024
"""Bytes of a ``.gitignore`` or ``.gitattributes`` that is looked at."""


@dataclass(frozen=True)
class Rules:
    """What decides: the files that are there, and what is ignored and what is large."""

    held: dict[str, File]
    ignore: str
    attributes: str

    def announced(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the answer for one announced file.

        Raises:
            RefusedError: Its path is a trick, or its sample is not base64.
        """
        path = check_path(texts(value, "path"))
        answer = {
            "path": path,
            "uploadMode": "lfs" if self._large(path, value) else "regular",
            "shouldIgnore": patterns.ignored(self.ignore, path),
        }
        if old := self.held.get(path):
            answer["oid"] = old.sha256 if old.large else old.git
        return answer

    def _large(self, path: str, value: dict[str, Any]) -> bool:
        try:
            sample = base64.b64decode(texts(value, "sample"), validate=True)
        except ValueError:
            raise RefusedError(400, f"The sample of {path} is not base64.") from None
        size = value.get("size", 0)
        if not isinstance(size, int) or size >= LARGE:
            return True
        named = patterns.large(self.attributes, path)
        if named is not None:
            return named
        return b"\0" in sample or PurePosixPath(path).suffix.lower() in BINARY


def rules(held: dict[str, File], blobs: Blobs, ignore: str | None) -> Rules:
    """Return what decides at a commit.

    Args:
        held: The commit's files by path.
        blobs: Where their contents are.
        ignore: The ``.gitignore`` that the caller is about to commit, if any.
    """
    if ignore is None:
        ignore = _content(held.get(".gitignore"), blobs)
    return Rules(held, ignore, _content(held.get(".gitattributes"), blobs))


def _content(file: File | None, blobs: Blobs) -> str:
    if file is None or file.size > LONGEST:
        return ""
    return blobs.path(file.sha256).read_bytes().decode("utf-8", "replace")
