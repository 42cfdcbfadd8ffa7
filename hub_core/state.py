"""Nested state as JSON and safetensors, never pickle: part state, optimizer state, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hub_core.errors import IntegrityError


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
