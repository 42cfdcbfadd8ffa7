"""Adapters of PEFT on their base models, with the head that one of them or the user has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hub_core.errors import FormatError, IntegrityError, listed
from hub_core.library import LibraryBackbone, Linear, Opened
from hub_core.model import Encoded
from hub_core.readers import Given
from hub_core.wording import shown
from hub_transformers.backbone import pooling_of
from hub_transformers.foreign_adapter import Adapter, read_adapter
from hub_transformers.foreign_around import put_on
from hub_transformers.foreign_base import base_of
from hub_transformers.foreign_config import ModelConfig, read_config
from hub_transformers.foreign_load import class_for, library_config, load_model, read_tensors
from hub_transformers.foreign_open import scored, serve_head, texts_of, tried, with_outputs
from hub_transformers.places import VOCABULARIES, Place

NO_HEAD = "give one with --head-file FILE: safetensors with weight (labels, width) and bias"
SHOWN = 10


def open_adapter(folder: Path, given: Given) -> Opened:
    """Put an adapter on its base model and serve it.

    Raises:
        FormatError: It, its base model or its head is not said, or of a kind that is not read.
        IntegrityError: Tensors are missing, unexpected or of another shape.
    """
    adapter = read_adapter(folder)
    base = base_of(adapter.config, given, adapter.where)
    base_config = read_config(base.folder)
    own = _own_head(adapter, base_config)
    if own and given.head:
        raise FormatError(f"{folder} has a head of its own", hint="leave --head-file out to use it")
    place = _texts(adapter, base)
    if own:
        config = with_outputs(base_config, own)
        return _open_with_head(adapter, config, place, given)
    if given.head:
        return _open_features(adapter, base_config, place, given)
    if base_config.has_head and adapter.promises_head:
        raise FormatError(
            f"{folder} lacks the head that its configuration promises (modules_to_save)",
            hint="fetch it again, or ask its author for it",
        )
    if base_config.has_head:
        return _open_with_head(adapter, base_config, place, given)
    raise FormatError(
        f"{folder} holds no head, and its base model {base.name} has none for texts",
        hint=NO_HEAD,
    )


def _texts(adapter: Adapter, base: Place) -> Place:
    """Return where the tokenizer is: with the adapter, or else with its base model."""
    if any((adapter.folder / name).is_file() for name in VOCABULARIES):
        return Place(adapter.folder, "", adapter.folder.name)
    return base


# -- heads


def _own_head(adapter: Adapter, base: ModelConfig) -> int:
    """Return the number of outputs of the adapter's own head, 0 if it has none."""
    if adapter.config.task_type != "SEQ_CLS":
        return 0
    for name in _output_names(base):
        tensor = adapter.tensors.get(adapter.prefix + name)
        if tensor is not None and tensor.ndim > 0:
            return int(tensor.shape[0])
    return 0


def _output_names(base: ModelConfig) -> list[str]:
    """Return the tensors of a model with a head whose shapes depend on the number of outputs."""
    shapes = []
    for outputs in (2, 3):
        known = library_config(base, outputs)
        with torch.device("meta"):
            model = class_for(known, base, head=True)(known)
        shapes.append({name: tensor.shape for name, tensor in model.state_dict().items()})
    return [name for name, shape in shapes[0].items() if shapes[1][name] != shape]


def _open_with_head(adapter: Adapter, config: ModelConfig, place: Place, given: Given) -> Opened:
    model, missing = load_model(config, config.outputs)
    whole = put_on(model, adapter, "SEQ_CLS")
    lost = {name for name in missing if adapter.prefix + name not in adapter.tensors}
    if lost:
        raise IntegrityError(
            f"neither {adapter.folder} nor its base model {config.folder} holds all of "
            f"{type(model).__name__}:" + listed(sorted(lost)[:SHOWN]),
            hint="the adapter was trained with parts that were not saved; ask its author",
        )
    backbone = scored(model, place, whole, adapter.taken)
    return serve_head(tried(backbone, adapter.folder), config, given)


def _open_features(adapter: Adapter, config: ModelConfig, place: Place, given: Given) -> Opened:
    linear = _linear(Path(given.head))
    model, missing = load_model(config, config.outputs, head=False)
    if missing:
        raise IntegrityError(
            f"{config.folder}: its weights are not those of {type(model).__name__}, some are "
            "missing:" + listed(sorted(missing)[:SHOWN]),
            hint="give the base model that the adapter was trained on: --backbone NAME-OR-FOLDER",
        )
    whole = put_on(model, adapter, "FEATURE_EXTRACTION")

    def run(inputs: Mapping[str, Tensor]) -> Encoded:
        hidden = whole(**inputs).last_hidden_state  # (B, V + T, D) with V positions of a prompt
        mask = inputs["attention_mask"]
        return Encoded(hidden[:, hidden.shape[1] - mask.shape[1] :], mask)

    texts = texts_of(model, place, adapter.taken)
    width = int(model.config.hidden_size)
    backbone = LibraryBackbone(
        whole, run, texts.tokenize, texts.collate, width=width, name=place.name
    )
    backbone.pooling = given.pooling or pooling_of(config.folder)
    named = with_outputs(config, len(linear.weight))
    return serve_head(tried(backbone.eval(), adapter.folder), named, given, linear)


def _linear(path: Path) -> Linear:
    """Read a linear head.

    Raises:
        FormatError: It is not there, or holds other tensors.
    """
    if not path.is_file():
        raise FormatError(f"there is no head file {path}", hint=NO_HEAD)
    tensors = read_tensors(path)
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if set(tensors) != {"weight", "bias"} or tensors["weight"].ndim != 2:
        raise FormatError(
            f"{path} holds {shown(shapes)}, and a head file holds weight (labels, width) and "
            "bias (labels)",
            hint=NO_HEAD,
        )
    return Linear(tensors["weight"].float(), tensors["bias"].float())
