"""What a backbone is: who it is, where its parts are, and one vector for every position."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hub_core.errors import BaseMismatchError
from hub_core.model import Backbone, TaskModel, tensors_of
from hub_core.part import Context
from hub_core.testing.expecting import expect, some
from hub_core.testing.trial import Trial

ROLES = {"query", "key", "value", "qkv", "attention-out", "up", "gate", "down", "other"}
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".npy", ".npz", ".gguf", ".h5", ".msgpack"}
TEXTS = ("the film was good", "good", "a day", "1 2 3, it was the day!", "Ünï ✓ 字 🙂", "the " * 9)
CLOSE = 1e-4


def _load(trial: Trial, **context: Any) -> Backbone:
    options = trial.provided.options(trial.options)
    backbone: Backbone = trial.provided.factory().load(options, Context(**context))
    return backbone


def is_someone(trial: Trial) -> None:
    """Check identity: the same model has the same one, and another is refused.

    Raises:
        ConformanceError: It is no fingerprint, changes, tells a path, or nobody looks at it.
    """
    first, second = _load(trial), _load(trial)
    identity = first.identity
    for name in ("fingerprint", "config"):
        value = getattr(identity, name)
        expect(re.fullmatch(r"[0-9a-f]{64}", value), f"identity.{name} = {value!r} is no sha256")
    expect(identity == second.identity, "loaded twice, it has two identities")
    for value in (identity.hint, identity.name):
        expect(
            not Path(value).is_absolute() and "\\" not in value,
            f"identity tells a path of this machine: {value}",
        )
    fresh = {name for name, p in first.named_parameters() if p in first.fresh}
    one, two = tensors_of(first), tensors_of(second)
    wrong = [name for name in one if name not in fresh and not torch.equal(one[name], two[name])]
    expect(not wrong, f"loaded twice, these are not the same: {some(wrong)}")
    _load(trial, identity=identity)
    try:
        _load(trial, identity=replace(identity, fingerprint="0" * 64))
    except BaseMismatchError:
        return
    raise AssertionError(
        "another identity was asked for and this model came: load must raise BaseMismatchError"
    )


def plans(trial: Trial) -> None:
    """Check that ``plan`` tells what ``load`` will give, and reads no weights.

    Raises:
        ConformanceError: The tags are others, or planning builds or reads the model.
    """
    options = trial.provided.options(trial.options)
    made: list[str] = []
    hook = nn.modules.module.register_module_parameter_registration_hook(
        lambda module, name, _: made.append(f"{type(module).__name__}.{name}")
    )
    hidden = _hide_weights(trial.folder)
    try:
        tags = trial.provided.factory().plan(options, Context())
    except Exception as error:
        told = "without its weights" if hidden else "of this case"
        raise AssertionError(f"plan fails {told}: {type(error).__name__}: {error}") from error
    finally:
        hook.remove()
        for away, place in hidden:
            away.rename(place)
    expect(not made, f"plan builds the model ({made[:1]}): it is asked before anything is loaded")
    given = _load(trial).tags
    expect(
        set(tags) == set(given),
        f"plan and load do not agree about the tags {some(sorted(set(tags) ^ set(given)))}",
    )


def _hide_weights(folder: Path) -> list[tuple[Path, Path]]:
    """Rename the weight files that the case made, and return where they are and were."""
    moved = []
    for place in [p for p in folder.rglob("*") if p.suffix in WEIGHTS and p.is_file()]:
        away = place.with_name(f"{place.name}.hidden")
        place.rename(away)
        moved.append((away, place))
    return moved


def is_laid_out(trial: Trial) -> None:
    """Check that layers, linear layers and embeddings are where the layout says.

    Raises:
        ConformanceError: They are not, or the tags say something else.
    """
    backbone = _load(trial)
    layout, model = backbone.layout, TaskModel(backbone, {})
    wrong = [p for p in (*layout.layers, *layout.linears, layout.embeddings) if not _has(model, p)]
    expect(not wrong, f"the layout names modules that are not there: {some(wrong)}")
    wrong = [p for p in layout.linears if not isinstance(backbone.get_submodule(p), nn.Linear)]
    expect(not wrong, f"these are no nn.Linear: {some(wrong)}")
    wrong = [p for p in layout.linears if not p.startswith(tuple(f"{x}." for x in layout.layers))]
    expect(not wrong, f"these linear layers lie in none of the layers: {some(wrong)}")
    wrong = sorted(set(layout.linears.values()) - ROLES)
    expect(not wrong, f"there are no such roles: {some(wrong)}")
    for tag, there in (("layers", layout.layers), ("linears", layout.linears)):
        expect(
            (tag in backbone.tags) == bool(there),
            f"the tag '{tag}' and the layout do not agree: it lists {len(there)}",
        )
    expect(
        all(p.dtype == torch.float32 for p in backbone.parameters()),
        "weights must be in float32, whatever the file has",
    )


def _has(model: TaskModel, path: str) -> bool:
    try:
        model.get_submodule(f"backbone.{path}")
    except AttributeError:
        return False
    return True


@torch.no_grad()
def reads(trial: Trial) -> None:
    """Check tokens, batches and vectors: whatever stands beside a text, it is read the same.

    Raises:
        ConformanceError: Tokens are missing, what is too long is not told, or padding is seen.
    """
    backbone = _load(trial).eval()
    _cuts(backbone)
    inputs = [found.inputs for found in _tokens(backbone, TEXTS)]
    together = backbone.collate(inputs)
    shape = next(iter(together.values())).shape
    expect(len(shape) == 2 and shape[0] == len(inputs), f"collate gives {tuple(shape)}, not (N, T)")
    encoded = backbone.encode(together)
    wanted = (*shape, backbone.layout.hidden)
    expect(
        tuple(encoded.hidden.shape) == wanted and tuple(encoded.mask.shape) == tuple(shape),
        f"encode gives vectors {tuple(encoded.hidden.shape)} and a mask "
        f"{tuple(encoded.mask.shape)} for inputs {tuple(shape)}: one for each position is wanted",
    )
    expect(torch.isfinite(encoded.hidden).all(), "some vectors are not numbers")
    scale = encoded.hidden.abs().max().clamp_min(1e-6)
    for number, tokens in enumerate(inputs):
        alone = backbone.encode(backbone.collate([tokens])).hidden[0]
        beside = encoded.hidden[number][encoded.mask[number].bool()]
        expect(
            beside.shape == alone.shape and float((beside - alone).abs().max() / scale) <= CLOSE,
            f"{TEXTS[number]!r} gets other vectors when a longer text stands beside it",
        )


def _tokens(backbone: Backbone, texts: Sequence[str]) -> list[Any]:
    found = backbone.tokenize(list(texts))
    expect(len(found) == len(texts), f"tokenize gives {len(found)} inputs for {len(texts)} texts")
    lengths = [{len(values) for values in tokens.inputs.values()} for tokens in found]
    expect(
        all(len(length) == 1 and min(length) > 0 for length in lengths),
        "every input of a text must be of the same length, and none may be empty",
    )
    again = [tokens for text in texts for tokens in backbone.tokenize([text])]
    expect(
        [_plain(t.inputs) for t in found] == [_plain(t.inputs) for t in again],
        "a text is tokenized otherwise when other texts stand beside it",
    )
    return found


def _plain(inputs: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    return {name: [int(value) for value in values] for name, values in inputs.items()}


def _cuts(backbone: Backbone) -> None:
    expect(backbone.tokenize([]) == [], "tokenize of no text must give no input")
    most = backbone.layout.positions
    words = max(most, 100)
    text = " ".join(["good"] * words)
    short, long = backbone.tokenize(["good", text], ["a film", text])
    expect(not short.truncated, "a short pair of texts is said to be cut")
    length = max(len(values) for values in long.inputs.values())
    expect(not most or length <= most, f"a long text becomes {length} tokens, at most {most} fit")
    expect(long.truncated or length >= 2 * words, "a long pair of texts was cut, which is not told")


def comes_empty(trial: Trial) -> None:
    """Check that the architecture can be built from what ``save_config`` wrote.

    Raises:
        ConformanceError: It has other tensors, or tokenizes otherwise.
    """
    backbone = _load(trial)
    with tempfile.TemporaryDirectory(prefix="hub-testing-") as place:
        folder = Path(place)
        backbone.save_config(folder)
        heavy = [p.name for p in folder.rglob("*") if p.suffix in WEIGHTS]
        expect(not heavy, f"save_config writes weights: {some(heavy)}")
        told = [p.name for p in folder.rglob("*") if p.is_file() and _tells(p, trial.folder)]
        expect(not told, f"save_config writes a path of this machine into {some(told)}")
        empty = _load(trial, empty=True, folder=folder, identity=backbone.identity, restoring=True)
        shapes = {name: t.shape for name, t in tensors_of(backbone).items()}
        other = {name: t.shape for name, t in tensors_of(empty).items()}
        expect(shapes == other, "with ctx.empty it has other tensors than with its weights")
        one, two = ([_plain(t.inputs) for t in b.tokenize(list(TEXTS))] for b in (backbone, empty))
        expect(one == two, "built from save_config, it tokenizes otherwise")


def _tells(path: Path, folder: Path) -> bool:
    return str(folder) in path.read_text("utf-8", errors="replace")


@torch.no_grad()
def generates(trial: Trial) -> None:
    """Check what a backbone with the tag ``generates`` generates.

    Raises:
        ConformanceError: It gives another number of tokens than asked for, at most.
    """
    backbone = _load(trial).eval()
    if "generates" not in backbone.tags:
        return
    inputs = backbone.collate([found.inputs for found in backbone.tokenize(list(TEXTS[:2]))])
    found = backbone.generate(inputs, 3)
    expect(
        found.ndim == 2 and found.shape[0] == 2 and found.shape[1] <= 3,
        f"generate gives {tuple(found.shape)} for two inputs and three tokens",
    )
