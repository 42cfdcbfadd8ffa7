"""Models of transformers from checked files: the library itself opens none of them.

It gets a configuration without keys that choose code or files, and tensors that were read here, so
nothing in a folder can lead it to anything else.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING as WITH_HEAD,
)
from transformers.models.auto.modeling_auto import MODEL_MAPPING as WITHOUT_HEAD

from hub_core.errors import FormatError, IntegrityError
from hub_transformers.backbone import REFUSALS, read_quietly, reason_of, without_pooler
from hub_transformers.foreign_config import ModelConfig

DEEPEST = 1000
"""Layers of a model."""
SPARE = 50_000_000
"""Parameters that a model may have beyond its weights, such as those of a new head."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        IntegrityError: It is no whole safetensors file.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError):
        raise IntegrityError(
            f"{path} is no whole safetensors file", hint="fetch it again"
        ) from None


def library_config(config: ModelConfig, outputs: int) -> PretrainedConfig:
    """Return the library's configuration with a number of outputs.

    Raises:
        FormatError: The installed library does not know the type, or the file names code.
    """
    if config.code:
        raise FormatError(
            f"{config.where} names code to import (auto_map), and code of a repository is never "
            "run",
            hint="use a model that transformers knows by itself",
        )
    if config.model_type not in CONFIG_MAPPING:
        raise FormatError(
            f"{config.where}: the installed transformers knows no model of the type "
            f"{config.model_type}",
            hint="use a model that transformers knows by itself, or a newer transformers",
        )
    for key, value in config.values.items():
        if "layer" in key and isinstance(value, int) and value > DEEPEST:
            raise FormatError(
                f"{config.where}: {key} = {value}, which no model has",
                hint="do not use this repository",
            )
    values = {k: v for k, v in config.values.items() if k not in ("id2label", "label2id")}
    values = copy.deepcopy({**values, "num_labels": outputs})
    try:
        return CONFIG_MAPPING[config.model_type].from_dict(values)
    except (*REFUSALS, StrictDataclassError) as error:
        raise FormatError(
            f"{config.where} is no configuration of {config.model_type}: {reason_of(error)}",
            hint="fetch it again, or ask its author for it",
        ) from None


def class_for(known: PretrainedConfig, config: ModelConfig, *, head: bool) -> Any:
    """Return the library's own class for a configuration.

    Raises:
        FormatError: There is none with such a head.
    """
    mapping = WITH_HEAD if head else WITHOUT_HEAD
    if type(known) not in mapping:
        raise FormatError(
            f"{config.where}: transformers has no model of the type {config.model_type} "
            + ("with a head for texts" if head else "without a head"),
            hint="use a model of another type",
        )
    found = mapping[type(known)]
    return found[0] if isinstance(found, tuple) else found


def load_model(
    config: ModelConfig, outputs: int, *, head: bool = True
) -> tuple[PreTrainedModel, frozenset[str]]:
    """Return a model in float32, and the names that its weights do not hold in its shapes.

    Raises:
        FormatError: The library cannot build it.
    """
    known = library_config(config, outputs)
    make = class_for(known, config, head=head)
    tensors: dict[str, Tensor] = {}
    for path in config.weights():
        tensors.update(read_tensors(path))
    _refuse_giants(config, make, known, sum(tensor.numel() for tensor in tensors.values()))
    try:
        return read_quietly(
            make,
            None,
            config=known,
            state_dict=tensors,
            ignore_mismatched_sizes=True,
            **({} if head else without_pooler(known)),
        )
    except (*REFUSALS, SafetensorError) as error:
        raise FormatError(
            f"{config.folder} cannot be loaded: {reason_of(error)}",
            hint="fetch it again, or ask its author for it",
        ) from None


def _refuse_giants(config: ModelConfig, make: Any, known: PretrainedConfig, found: int) -> None:
    """Refuse a configuration of a model far larger than the weights, before memory is taken."""
    try:
        with torch.device("meta"):
            wanted = sum(tensor.numel() for tensor in make(known).parameters())
    except Exception as error:  # whatever the library stumbles over: the values are a stranger's
        raise FormatError(
            f"{config.where}: no model can be made of it: {reason_of(error)}",
            hint="fetch it again, or ask its author for it",
        ) from None
    if wanted > found + SPARE:
        raise IntegrityError(
            f"{config.where} is of a model with {wanted:,} parameters, its weights have {found:,}",
            hint="do not use this repository",
        )
