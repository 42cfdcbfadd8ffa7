"""Whole models of transformers, served by the heads of the catalog that their outputs are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedModel

from hub_core.declare import Task
from hub_core.errors import FormatError, IntegrityError, listed
from hub_core.library import LibraryBackbone, Linear, Opened, outputs_of, serve
from hub_core.model import Encoded
from hub_core.readers import Given
from hub_core.wording import counted
from hub_transformers.backbone import TransformersBackbone, reason_of
from hub_transformers.foreign_config import MULTI, SINGLE, ModelConfig, generic, read_config
from hub_transformers.foreign_load import load_model
from hub_transformers.places import VOCABULARIES, Place

METHODS = {"regression": "regression", MULTI: "multi-label"}
"""What a head's numbers are, to the head of the catalog that reads them; else one label."""
NAMES = "give them in the order of the outputs: --label NAME --label NAME …"
SHOWN = 10
SHORTEST = 8


def open_model(folder: Path, given: Given) -> Opened:
    """Load a whole model with its own head.

    Raises:
        FormatError: It has no head for texts, its labels are not known, or it needs what is not
            read here.
        IntegrityError: Its weights are not those of its architecture.
    """
    config = read_config(folder)
    if not config.has_head:
        raise FormatError(
            f"{config.where}: a model of the kind {', '.join(config.architectures) or 'not said'} "
            "has no head for texts, so it predicts nothing here",
            hint=f"use it as a backbone: hub train --backbone {folder.name} …",
        )
    if given.head or given.backbone:
        option = "--head-file" if given.head else "--backbone"
        raise FormatError(
            f"{folder} is a whole model with a head of its own", hint=f"leave {option} out"
        )
    model, missing = load_model(config, config.outputs)
    if missing:
        lines = sorted(missing)[:SHOWN]
        raise IntegrityError(
            f"{folder}: its weights are not those of {type(model).__name__}, some are missing:"
            + listed(lines),
            hint="ask its author for the weights of the whole model",
        )
    backbone = scored(model, Place(folder, "", folder.name))
    return serve_head(tried(backbone, folder), config, given)


def serve_head(
    backbone: LibraryBackbone, config: ModelConfig, given: Given, linear: Linear | None = None
) -> Opened:
    """Serve a model by the head of the catalog that its numbers are for."""
    method = given.method or METHODS.get(config.problem, "classification")
    labels = () if method == "regression" else labels_of(config, given)
    if method == "regression" and (given.labels or config.outputs > 1):
        raise FormatError(
            f"{config.where}: it predicts {counted(config.outputs, 'number')}, and a regression is "
            "one number without labels",
            hint="leave --label out" if given.labels else "choose another head with --head",
        )
    options = {"pooling": backbone.pooling} if linear is not None else {"pooling": "first"}
    return serve(backbone, method, Task(given.task, labels), linear, options)


def labels_of(config: ModelConfig, given: Given) -> tuple[str, ...]:
    """Return the name of each output.

    Raises:
        FormatError: Nobody says them, their number is not the outputs', or two are the same.
    """
    labels = given.labels or config.labels
    if not given.labels and generic(labels):
        raise FormatError(
            f"{config.where} does not name the labels of its {config.outputs} outputs",
            hint=NAMES,
        )
    if len(labels) != config.outputs:
        raise FormatError(
            f"{counted(len(labels), 'label')} were given, the model has {config.outputs} outputs",
            hint="give one label for each output, in their order",
        )
    if len(set(labels)) < len(labels):
        raise FormatError(
            f"{config.where}: two of its labels have the same name",
            hint=NAMES,
        )
    return labels


def texts_of(model: PreTrainedModel, place: Place, taken: int = 0) -> TransformersBackbone:
    """Return what tokenizes for a model.

    Args:
        model: The model.
        place: Where its tokenizer is.
        taken: Positions that are not the text's.

    Raises:
        IntegrityError: The tokenizer knows more tokens than the model.
    """
    tokenizer = _tokenizer(place, model.config)
    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise IntegrityError(
            f"{place.folder}: its tokenizer has {len(tokenizer):,} tokens, the model knows "
            f"{known:,}",
            hint="ask the author for the tokenizer that belongs to the model",
        )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    if model.config.pad_token_id is None:
        raise FormatError(
            f"{place.folder} names no token for padding, so texts cannot be read together",
            hint="ask its author for a tokenizer with a pad_token",
        )
    longest = min(tokenizer.model_max_length, longest_input(model)) - taken
    if longest < SHORTEST:
        raise FormatError(
            f"{place.folder}: {max(longest, 0)} tokens of a text are read, which are too few",
            hint="do not use this repository",
        )
    return TransformersBackbone(model, tokenizer, longest)


def _tokenizer(place: Place, config: PretrainedConfig) -> Any:
    """Return a fast tokenizer; with a configuration, the library does not read the folder's own.

    Raises:
        FormatError: There is none that can be read.
    """
    try:
        if not any((place.folder / name).is_file() for name in VOCABULARIES):
            raise OSError("no vocabulary is there")  # transformers would take an empty one
        tokenizer = AutoTokenizer.from_pretrained(
            place.folder, config=config, trust_remote_code=False
        )
        if not tokenizer.is_fast:
            raise OSError("it has no fast form")
        tokenizer.model_max_length = int(tokenizer.model_max_length)
    except Exception as error:  # whatever the library stumbles over: the files are a stranger's
        raise FormatError(
            f"{place.folder} holds no tokenizer that can be read: {reason_of(error)}",
            hint="ask its author for tokenizer.json and tokenizer_config.json",
        ) from None
    return tokenizer


def tried(backbone: LibraryBackbone, folder: Path) -> LibraryBackbone:
    """Return a backbone after it encoded two short texts: a configuration may still be wrong.

    Raises:
        FormatError: It cannot be run, or gives what is no number.
    """
    try:
        tokens = backbone.tokenize(["a", "a b c"])
        with torch.inference_mode():
            found = backbone.encode(backbone.collate([one.inputs for one in tokens]))
        if not found.hidden.isfinite().all():
            raise ValueError("it gives what is no number")
    except Exception as error:  # whatever the library stumbles over: the values are a stranger's
        raise FormatError(
            f"{folder} cannot be run: {reason_of(error)}",
            hint="fetch it again, or ask its author for it",
        ) from None
    return backbone


def longest_input(model: PreTrainedModel) -> int:
    """Return how many tokens a model reads, as its table of positions says."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings) - first
    return int(getattr(model.config, "max_position_embeddings", None) or 512)


def scored(
    model: PreTrainedModel, place: Place, whole: nn.Module | None = None, taken: int = 0
) -> LibraryBackbone:
    """Return a backbone whose one vector is what the model's own head gives.

    Args:
        model: The model of transformers.
        place: Where its tokenizer is.
        whole: What runs, if something was put around the model.
        taken: Positions that are not the text's.
    """
    runs = model if whole is None else whole

    def run(inputs: Mapping[str, Tensor]) -> Encoded:
        return outputs_of(runs(**inputs).logits.float())

    texts = texts_of(model, place, taken)
    width = int(model.config.num_labels)
    return LibraryBackbone(
        runs, run, texts.tokenize, texts.collate, width=width, name=place.name
    ).eval()


def with_outputs(config: ModelConfig, outputs: int) -> ModelConfig:
    """Return a configuration for another number of outputs, its labels kept where they fit."""
    if outputs == config.outputs:
        return config
    names = tuple(f"LABEL_{number}" for number in range(outputs))  # nobody named them
    problem = config.problem
    if problem != MULTI:
        problem = "regression" if outputs == 1 else SINGLE
    return replace(config, outputs=outputs, labels=names, problem=problem)
