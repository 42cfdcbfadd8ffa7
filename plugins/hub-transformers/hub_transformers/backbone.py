"""An encoder of transformers as a backbone: safetensors only, never remote code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from hub_core.errors import IncompatibleError
from hub_core.model import Backbone, Encoded, Tokens, Words
from hub_core.part import Context
from hub_transformers.layout import check_type, layout_of, positions
from hub_transformers.options import TransformersOptions
from hub_transformers.places import (
    VOCABULARIES,
    Place,
    files_of,
    find,
    identify,
    weight_files,
)
from hub_transformers.words import words_of

TAGS = frozenset({"text", "layers", "linears", "attention", "transformers"})
REFUSALS = (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What transformers raises over files that it cannot use."""
POOLING = {"cls_token": "first", "mean_tokens": "mean", "max_tokens": "max", "lasttoken": "last"}
"""Pooling modes in the files of sentence-transformers to ours."""


class TransformersBackbone(Backbone):
    """A transformers encoder, found by folder or Hub id, its revision pinned."""

    tags = TAGS
    body: PreTrainedModel

    def __init__(self, body: PreTrainedModel, tokenizer: Any, max_length: int) -> None:
        super().__init__()
        self.body = body
        self.tokenizer = tokenizer
        self.max_length = max_length

    @classmethod
    def plan(cls, options: TransformersOptions, ctx: Context) -> frozenset[str]:
        """Return the tags after checking the model's type; no weights are read."""
        config = _config(find(options, ctx, weights=False))
        return _tags(config, options)

    @classmethod
    def load(cls, options: TransformersOptions, ctx: Context) -> TransformersBackbone:
        """Load body and tokenizer."""
        place = find(options, ctx, weights=not ctx.empty)
        config = _config(place)
        if not ctx.empty:
            weight_files(place.folder)
        # fused attention is several times slower than plain matmuls for bf16 on processors
        attention = "eager" if ctx.device.type == "cpu" else "sdpa"
        tags = _tags(config, options)
        extra = {} if "pooler" in tags else without_pooler(config)
        body, missing = _body(place, config, attention, extra, empty=ctx.empty)
        tokenizer = _tokenizer(place)
        longest = min(int(tokenizer.model_max_length), positions(config))
        backbone = cls(body, tokenizer, min(options.max_length or longest, longest))
        backbone.layout, backbone.tags = layout_of(body), tags
        backbone.pooling = (
            pooling_of(place.folder) if options.pooling == "auto" else options.pooling
        )
        if ctx.identity is not None:
            backbone.identity = ctx.identity
        elif not ctx.empty:
            backbone.identity = identify(place)
        backbone.fresh = frozenset(p for name, p in body.named_parameters() if name in missing)
        return backbone

    @classmethod
    def files(cls, options: TransformersOptions, ctx: Context) -> dict[str, Path]:
        """Return configuration, tokenizer and weights as they lie here."""
        return files_of(options, ctx)

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Return the last hidden states (B, T, D), the mask (B, T), and what a pooler gives."""
        found = self.body(**inputs)
        pooled = found.pooler_output if self.layout.pooler else None  # (B, D)
        return Encoded(found.last_hidden_state, inputs["attention_mask"], pooled)

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """Tokenize with the model's own tokenizer, cutting the longer text of a pair first."""
        if not texts:
            return []
        found = self._tokenized(texts, pairs)
        return [
            Tokens({name: found[name][i] for name in found}, bool(encoding.overflowing))
            for i, encoding in enumerate(found.encodings)
        ]

    def words(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Words]:
        """Return the word of each position, as the tokenizer cuts words before it cuts tokens."""
        if not texts:
            return []
        both = zip(texts, texts if pairs is None else pairs, strict=True)
        encodings = self._tokenized(texts, pairs).encodings
        return [words_of(found, each) for found, each in zip(encodings, both, strict=True)]

    def _tokenized(self, texts: Sequence[str], pairs: Sequence[str] | None) -> Any:
        return self.tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=False,
        )

    def collate(self, inputs: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Tensor]:
        """Pad to the longest input; the mask is 1 where there is a token."""
        padding = {"input_ids": self.tokenizer.pad_token_id or 0}
        tensors = {
            name: pad_sequence(
                [torch.tensor(item[name]) for item in inputs],
                batch_first=True,
                padding_value=padding.get(name, 0),
            )
            for name in inputs[0]
        }
        lengths = torch.tensor([len(item["input_ids"]) for item in inputs])
        width = tensors["input_ids"].shape[1]
        tensors["attention_mask"] = (torch.arange(width) < lengths[:, None]).long()
        return tensors

    def save_config(self, folder: Path) -> None:
        """Write configuration and tokenizer, without paths of this machine or names of code."""
        self.body.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        for name in ("config.json", "tokenizer_config.json"):
            values = json.loads((folder / name).read_text("utf-8"))
            for key in ("name_or_path", "_name_or_path", "auto_map"):
                values.pop(key, None)
            (folder / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def export(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return the tensors as plain ``AutoModel`` names them, if it can load every one."""
        body = {name.removeprefix("body."): tensor for name, tensor in tensors.items()}
        extra = {} if self.layout.pooler else without_pooler(self.body.config)
        with torch.device("meta"):
            plain = AutoModel.from_config(self.body.config, **extra)
        expected = {name: p.shape for name, p in plain.state_dict().items()}
        floating = all(tensor.is_floating_point() for tensor in body.values())
        fits = {name: tensor.shape for name, tensor in body.items()} == expected
        return body if floating and fits else None


def _tags(config: PretrainedConfig, options: TransformersOptions) -> frozenset[str]:
    """Return what a model can do; its own pooling layer is there only where it is asked for."""
    if options.pooling != "pooler":
        return TAGS
    if not without_pooler(config):
        raise IncompatibleError(
            f"{options.model}: models of type '{config.model_type}' have no pooling layer of their "
            'own, so pooling = "pooler" cannot be used',
            hint="pool hidden states: auto, first, mean, max or last",
        )
    return TAGS | {"pooler"}


def _config(place: Place) -> PretrainedConfig:
    path = place.folder / "config.json"
    if not path.is_file():
        raise IncompatibleError(f"{place.folder} holds no config.json", hint="name a model folder")
    try:
        kind = str(json.loads(path.read_text("utf-8"))["model_type"])
    except (KeyError, OSError, RecursionError, TypeError, ValueError):
        raise IncompatibleError(
            f"{path} is no JSON object with a model_type", hint="fetch the model again"
        ) from None
    check_type(kind)
    try:
        return AutoConfig.from_pretrained(place.folder, trust_remote_code=False)
    except (*REFUSALS, StrictDataclassError) as error:
        raise IncompatibleError(f"{path} cannot be read: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """Return a library's message on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _tokenizer(place: Place) -> Any:
    try:
        if not any((place.folder / name).is_file() for name in VOCABULARIES):
            raise OSError("no vocabulary is there")  # transformers would take an empty one
        tokenizer = AutoTokenizer.from_pretrained(place.folder, trust_remote_code=False)
    except REFUSALS as error:
        raise IncompatibleError(
            f"{place.folder} holds no tokenizer that can be read: {reason_of(error)}",
            hint="put tokenizer.json and tokenizer_config.json beside the weights",
        ) from None
    if not tokenizer.is_fast:
        raise IncompatibleError(
            f"{place.folder}: its tokenizer has no fast form",
            hint="save tokenizer.json with transformers, then try again",
        )
    return tokenizer


def without_pooler(config: PretrainedConfig) -> dict[str, bool]:
    """Leave the library's pooler out, where there is one: heads pool hidden states themselves."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    parameters = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}


def _body(
    place: Place,
    config: PretrainedConfig,
    attention: str,
    extra: Mapping[str, bool],
    *,
    empty: bool,
) -> tuple[PreTrainedModel, frozenset[str]]:
    """Return the body in float32, and the names that its checkpoint did not hold."""
    if empty:
        body = AutoModel.from_config(config, attn_implementation=attention, **extra)
        return body.float().eval(), frozenset()
    try:
        return read_quietly(
            AutoModel, place.folder, config=config, attn_implementation=attention, **extra
        )
    except (*REFUSALS, SafetensorError) as error:
        raise IncompatibleError(
            f"{place.folder} cannot be loaded: {reason_of(error)}",
            hint="check that config.json and the weights belong together, or fetch them again",
        ) from None


def read_quietly(make: Any, place: Path | None, **how: Any) -> tuple[Any, frozenset[str]]:
    """Return a model in float32 as ``from_pretrained`` reads it, and the names that it lacked.

    Safetensors only, never remote code; what is missing is handled by the caller, not only told.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        model, info = make.from_pretrained(
            place,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **how,
        )
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = set(info["missing_keys"]) | {name for name, *_ in info["mismatched_keys"]}
    return model.eval(), frozenset(missing)


def pooling_of(folder: Path) -> str:
    """Return how the model was trained to be pooled, where its files say so."""
    path = folder / "1_Pooling" / "config.json"
    if path.is_file():
        try:
            values = dict(json.loads(path.read_text("utf-8")))
        except (TypeError, ValueError):
            raise IncompatibleError(f"{path} is no JSON object") from None
        for mode, name in POOLING.items():
            if values.get(f"pooling_mode_{mode}"):
                return name
    return "mean"
