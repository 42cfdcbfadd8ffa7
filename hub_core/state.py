"""Nested state as JSON and safetensors, never pickle: part state, optimizer state, checkpoints."""

from __future__ import annotations

import errno
import glob
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hub_core.errors import ArtifactError, IntegrityError

PARTIAL, OLD = ".partial-", ".old-"
"""What the hidden folders beside a target are called while it is written."""


def split(tree: Any, tensors: dict[str, Tensor], prefix: str = "") -> Any:
    """Return ``tree`` as JSON values; its tensors go into ``tensors`` and leave their key.

    Raises:
        TypeError: The tree holds something that is neither plain data nor a tensor.
    """
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"$float": str(tree)}  # JSON has no number for it
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, Tensor):
        key = f"{prefix}{len(tensors)}"
        tensors[key] = tree
        return {"$tensor": key}
    if isinstance(tree, tuple):
        return {"$tuple": [split(item, tensors, prefix) for item in tree]}
    if isinstance(tree, list):
        return [split(item, tensors, prefix) for item in tree]
    if isinstance(tree, Mapping):
        pairs = [[split(k, tensors), split(v, tensors, prefix)] for k, v in tree.items()]
        plain = all(isinstance(k, str) and not k.startswith("$") for k in tree)
        return dict(pairs) if plain else {"$dict": pairs}
    raise TypeError(f"state may hold plain data and tensors, not {type(tree).__name__}")


def join(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the tree that ``split`` took apart.

    Raises:
        IntegrityError: A tensor is missing, or the skeleton is none that ``split`` gives.
    """
    try:
        return _join(skeleton, tensors)
    except KeyError as error:
        raise IntegrityError(f"state names tensor {error}, which is not there") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise IntegrityError(f"state is damaged: {error}") from None


def _join(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(skeleton, list):
        return [_join(item, tensors) for item in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    if "$float" in skeleton:
        return float(skeleton["$float"])
    if "$tensor" in skeleton:
        return tensors[skeleton["$tensor"]]
    if "$tuple" in skeleton:
        return tuple(_join(item, tensors) for item in skeleton["$tuple"])
    if "$dict" in skeleton:
        return {_join(key, tensors): _join(value, tensors) for key, value in skeleton["$dict"]}
    return {key: _join(value, tensors) for key, value in skeleton.items()}


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors that plain libraries open.

    Raises:
        OSError: The file cannot be written.
    """
    ready = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    try:
        save_file(ready, path, metadata={"format": "pt"})
    except SafetensorError as error:  # how safetensors tells of a full disk
        raise OSError(f"{path.name}: {error}") from None
    path.chmod(0o644)  # it is written 0600, which would hide it from everybody else


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        IntegrityError: The file is missing or damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise IntegrityError(f"{path} is missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise IntegrityError(f"{path} is damaged: {error}") from None


def write_json(path: Path, value: Any) -> None:
    """Write JSON, keys sorted, UTF-8, with a final newline."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside ``target`` that takes its place only if all goes well.

    An existing ``target`` is replaced as a whole; whatever fails, it stays as it was, and no half
    folder is left.

    Raises:
        ArtifactError: The folder cannot be written, for example because the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}{PARTIAL}"))
    except OSError as error:
        raise ArtifactError(
            f"{target} cannot be written: {error}", hint="choose another folder"
        ) from None
    try:
        yield partial
        _swap(partial, target)
    except OSError as error:
        hint = "choose another folder"
        if is_full(error):
            hint = f"free some disk space, or {hint}"
        raise ArtifactError(f"{target} cannot be written: {error}", hint=hint) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_full(error: OSError) -> bool:
    """Return whether a write failed because there is no more space."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def _swap(partial: Path, target: Path) -> None:
    partial.chmod(0o755)  # mkdtemp's 0700 would hide the result from everybody else
    if not target.exists():
        os.replace(partial, target)
        return
    old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}{OLD}"))
    os.replace(target, old / "it")
    try:
        os.replace(partial, target)
    except BaseException:
        os.replace(old / "it", target)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover(target: Path) -> None:
    """Clean up beside ``target`` after a process that was killed while it wrote there.

    What it had half written goes; what it had just moved away comes back. Only for a target that
    no other process writes to.
    """
    name = glob.escape(target.name)
    for old in target.parent.glob(f".{name}{OLD}*"):
        if not target.exists() and (old / "it").exists():
            os.replace(old / "it", target)
        shutil.rmtree(old, ignore_errors=True)
    for partial in target.parent.glob(f".{name}{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
