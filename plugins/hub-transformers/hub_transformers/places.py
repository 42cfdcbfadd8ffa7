"""Find the files of a model: a folder, a folder this machine knows, the Hub's cache, the Hub."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub_core.errors import BaseMismatchError, IncompatibleError
from hub_core.identity import Identity, fingerprint, remember, remembered, sha256_of
from hub_core.part import Context
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
    return _named(ctx.place or options.model, options.revision, weights=weights)


def _named(name: str, revision: str, *, weights: bool) -> Place:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Place(folder, "", folder.resolve().name)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise IncompatibleError(
            f"there is no folder {name}, and it is no Hub id either",
            hint="give a folder with config.json and model.safetensors, or owner/name",
        )
    return _from_hub(name, revision or None, weights=weights, local=False)


def _from_hub(name: str, revision: str | None, *, weights: bool, local: bool) -> Place:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=WEIGHTS if weights else LIGHT,
            local_files_only=local,
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise IncompatibleError(
            f"the model {name} cannot be fetched from the Hub: {reason}",
            hint="check the name and your connection, or give a folder",
        ) from None
    return Place(Path(folder), f"{name}@{Path(folder).name}", name)


def _needed(identity: Identity, place: str) -> Place:
    """Return the place that holds exactly the backbone with this identity."""
    if place:
        found = _named(place, "", weights=True)
        require(identity, found)
        return found
    for folder in _known(identity):
        found = Place(folder, identity.hint, identity.name)
        if matches(identity, found):
            return found
    if pinned := PINNED.fullmatch(identity.hint):
        found = _from_hub(pinned["repo"], pinned["commit"], weights=True, local=False)
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
    if not files:
        raise IncompatibleError(
            f"{folder} holds no safetensors weights",
            hint="other weight formats can run code when opened; convert the model first",
        )
    return files


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
