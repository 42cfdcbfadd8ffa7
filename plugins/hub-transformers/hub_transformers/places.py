"""Find the files of a model: a folder, a folder this machine knows, the Hub's cache, the Hub."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub_core.errors import BaseMismatchError, IncompatibleError
from hub_core.identity import Identity, fingerprint, remember, remembered, sha256_of
from hub_core.part import Context
from hub_core.remote.snapshot import snapshot
from hub_transformers.layout import check_type
from hub_transformers.options import TransformersOptions

LIGHT = ["*.json", "*.txt", "*.model", "1_Pooling/config.json"]
"""Configuration and tokenizer."""
WEIGHTS = [*LIGHT, "*.safetensors"]
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
PINNED = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that holds a model, and the Hub address it came from, if any."""

    folder: Path
    hint: str
    name: str


def find(options: TransformersOptions, ctx: Context, *, weights: bool) -> Place:
    """Return where the model is; fetch it from the Hub if need be.

    Args:
        options: The recipe's options; not used when an artifact names the identity.
        ctx: With ``ctx.folder``, the artifact's own configuration is used.
        weights: Whether the weights are needed too, or only configuration and tokenizer.

    Raises:
        IncompatibleError: No model can be found there.
        BaseMismatchError: The model that an artifact needs cannot be found.
    """
    if ctx.folder is not None:
        assert ctx.identity is not None
        return Place(ctx.folder, ctx.identity.hint, ctx.identity.name)
    if ctx.identity is not None:
        return _needed(ctx.identity, ctx.place)
    return named_place(ctx.place or options.model, options.revision, weights=weights)


def named_place(name: str, revision: str, *, weights: bool) -> Place:
    """Return where the model of a name is: a folder, or a repository that is fetched.

    Raises:
        IncompatibleError: It is neither.
        RemoteError: It cannot be fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Place(folder, "", folder.resolve().name)
    if pinned := PINNED.fullmatch(name):
        return from_hub(pinned["repo"], pinned["commit"], weights=weights)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise IncompatibleError(
            f"there is no folder {name}, and it is no Hub id either",
            hint="give a folder with config.json and model.safetensors, or owner/name",
        )
    return from_hub(name, revision or None, weights=weights)


def from_hub(name: str, revision: str | None, *, weights: bool) -> Place:
    """Return where the Hub's cache has a model, after fetching what it lacks.

    Configuration comes first: a model of a type that is not known is refused before its weights
    are fetched.
    """
    folder = snapshot(name, revision, LIGHT)
    if weights:
        _check_kind(folder)
        folder = snapshot(name, folder.name, WEIGHTS)
    return Place(folder, f"{name}@{folder.name}", name)


def _check_kind(folder: Path) -> None:
    """Refuse a model whose type is not known; what cannot be read is told when it is loaded."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        kind = str(json.loads((folder / "config.json").read_text("utf-8"))["model_type"])
        check_type(kind)


def _needed(identity: Identity, place: str) -> Place:
    """Return the place that holds exactly the backbone with this identity."""
    if place:
        found = named_place(place, "", weights=True)
        require(identity, found)
        return found
    for folder in _known(identity):
        found = Place(folder, identity.hint, identity.name)
        if matches(identity, found):
            return found
    if pinned := PINNED.fullmatch(identity.hint):
        found = from_hub(pinned["repo"], pinned["commit"], weights=True)
        require(identity, found)
        return found
    raise BaseMismatchError(
        f"the backbone {identity.name or 'of this artifact'} "
        f"(fingerprint {identity.fingerprint[:16]}…) was not found on this machine",
        hint="say where it is with --backbone FOLDER, or set HUB_BACKBONES to folders of models",
    )


def _known(identity: Identity) -> Iterator[Path]:
    """Yield folders of this machine that may hold the model; nothing a download could name."""
    if found := remembered(_key(identity)):
        yield found
    for root in filter(None, os.environ.get("HUB_BACKBONES", "").split(os.pathsep)):
        yield from (f.parent for f in sorted(Path(root).glob("**/config.json")))


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model.

    Raises:
        IncompatibleError: There are none.
    """
    index = folder / "model.safetensors.index.json"
    pattern = "model-*.safetensors" if index.is_file() else "model.safetensors"
    files = sorted(folder.glob(pattern))
    if index.is_file():
        _check_index(index, {path.name for path in files})
    if not files:
        raise IncompatibleError(
            f"{folder} holds no safetensors weights",
            hint="other weight formats can run code when opened; convert the model first",
        )
    return files


def _check_index(index: Path, there: set[str]) -> None:
    """Refuse an index that names other files than the shards that lie beside it."""
    try:
        named = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise IncompatibleError(f"{index} is no index of weights",
                                hint="fetch the model again") from None  # fmt: skip
    if strange := sorted(map(str, named - there)):
        raise IncompatibleError(f"{index} names {strange[0]!r}, which is not beside it",
                                hint="fetch the model again")  # fmt: skip


def files_of(options: TransformersOptions, ctx: Context) -> dict[str, Path]:
    """Return the files by which others load the same model, by their names in a repository."""
    folder = find(options, ctx, weights=True).folder
    paths = {*weight_files(folder), *(p for pattern in LIGHT for p in folder.glob(pattern))}
    return {path.relative_to(folder).as_posix(): path for path in sorted(paths)}


def identify(place: Place) -> Identity:
    """Return who the model in a place is, and remember the place."""
    digest = hashlib.sha256()
    for name in ("config.json", *VOCABULARIES):
        if (place.folder / name).is_file():
            digest.update(f"{name} {sha256_of(place.folder / name)}\n".encode())
    weights = fingerprint(weight_files(place.folder))
    found = Identity(weights, digest.hexdigest(), place.hint, place.name)
    remember(_key(found), place.folder)
    return found


def _key(identity: Identity) -> str:
    """Return what a place is remembered by: models may share weights and differ in the rest."""
    return f"{identity.fingerprint}|{identity.config}"


def matches(identity: Identity, place: Place) -> bool:
    """Return whether a place holds the model with this identity."""
    try:
        found = identify(place)
    except (IncompatibleError, OSError):  # no model, or not ours to read: look on
        return False
    return (found.fingerprint, found.config) == (identity.fingerprint, identity.config)


def require(identity: Identity, place: Place) -> None:
    """Refuse a place that holds another model.

    Raises:
        BaseMismatchError: With both values.
    """
    found = identify(place)
    for what, wanted, have in (
        ("weights", identity.fingerprint, found.fingerprint),
        ("configuration and tokenizer", identity.config, found.config),
    ):
        if wanted != have:
            raise BaseMismatchError(
                f"{place.name} is not the backbone of this artifact: its {what} have sha256 "
                f"{have[:16]}…, the artifact was trained on {wanted[:16]}…",
                hint=f"give the right {identity.name or 'model'} with --backbone",
            )
