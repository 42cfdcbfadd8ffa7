"""An encoder of transformers as a backbone: safetensors only, never remote code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hub_core.errors import IncompatibleError
from hub_core.model import Backbone, Encoded, Tokens
from hub_core.part import Context
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig
from transformers.utils import logging as transformers_logging

from hub_transformers.layout import check_type, layout_of, positions
from hub_transformers.options import TransformersOptions
from hub_transformers.places import Place, find, identify

TAGS = frozenset({"text", "layers", "linears", "attention", "transformers"})
POOLING = {"cls_token": "first", "mean_tokens": "mean", "max_tokens": "max", "lasttoken": "last"}
"""Pooling modes in the files of sentence-transformers to ours."""


class TransformersBackbone(Backbone):
    """A transformers encoder, found by folder or Hub id, its revision pinned."""

    tags = TAGS

    def __init__(self, body: nn.Module, tokenizer: Any, max_length: int) -> None:
        super().__init__()
        self.body = body
        self.tokenizer = tokenizer
        self.max_length = max_length

    @classmethod
    def plan(cls, options: TransformersOptions, ctx: Context) -> frozenset[str]:
        """Return the tags after checking the model's type; no weights are read."""
        place = find(options, ctx, weights=False)
        check_type(_config(place))
        return TAGS

    @classmethod
    def load(cls, options: TransformersOptions, ctx: Context) -> TransformersBackbone:
        """Load body and tokenizer."""
        place = find(options, ctx, weights=not ctx.empty)
        config = _config(place)
        check_type(config)
        # fused attention is several times slower than plain matmuls for bf16 on processors
        attention = "eager" if ctx.device.type == "cpu" else "sdpa"
        body, missing = _body(place, config, attention, empty=ctx.empty)
        tokenizer = AutoTokenizer.from_pretrained(place.folder, trust_remote_code=False)
        longest = min(int(tokenizer.model_max_length), positions(config))
        backbone = cls(body, tokenizer, min(options.max_length or longest, longest))
        backbone.layout = layout_of(body)
        backbone.pooling = _pooling(place.folder) if options.pooling == "auto" else options.pooling
        if ctx.identity is not None:
            backbone.identity = ctx.identity
        elif not ctx.empty:
            backbone.identity = identify(place)
        backbone.fresh = frozenset(p for name, p in body.named_parameters() if name in missing)
        return backbone

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Return the last hidden states (B, T, D) and the mask (B, T)."""
        hidden = self.body(**inputs).last_hidden_state
        return Encoded(hidden, inputs["attention_mask"])

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """Tokenize with the model's own tokenizer, cutting the longer text of a pair first."""
        if not texts:
            return []
        found = self.tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=False,
        )
        return [
            Tokens({name: found[name][i] for name in found}, bool(encoding.overflowing))
            for i, encoding in enumerate(found.encodings)
        ]

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
        """Write configuration and tokenizer, without any path of this machine."""
        self.body.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        for name in ("config.json", "tokenizer_config.json"):
            values = json.loads((folder / name).read_text("utf-8"))
            for key in ("name_or_path", "_name_or_path"):
                values.pop(key, None)
            (folder / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def export(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return the tensors as plain ``AutoModel`` names them, if it can load every one."""
        body = {name.removeprefix("body."): tensor for name, tensor in tensors.items()}
        with torch.device("meta"):
            plain = AutoModel.from_config(self.body.config, **_no_pooler(self.body.config))
        expected = {name: p.shape for name, p in plain.state_dict().items()}
        floating = all(tensor.is_floating_point() for tensor in body.values())
        fits = {name: tensor.shape for name, tensor in body.items()} == expected
        return body if floating and fits else None


def _config(place: Place) -> PretrainedConfig:
    path = place.folder / "config.json"
    if not path.is_file():
        raise IncompatibleError(f"{place.folder} holds no config.json", hint="name a model folder")
    try:
        return AutoConfig.from_pretrained(place.folder, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise IncompatibleError(f"{path} cannot be read: {reason}") from None


def _no_pooler(config: PretrainedConfig) -> dict[str, bool]:
    """Leave the library's pooler out: heads pool hidden states themselves."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    parameters = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}


def _body(
    place: Place, config: PretrainedConfig, attention: str, *, empty: bool
) -> tuple[nn.Module, frozenset[str]]:
    """Return the body in float32, and the names that its checkpoint did not hold."""
    extra = _no_pooler(config)
    if empty:
        body = AutoModel.from_config(config, attn_implementation=attention, **extra)
        return body.float().eval(), frozenset()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # what is missing is handled, not only told
    transformers_logging.disable_progress_bar()
    try:
        body, info = AutoModel.from_pretrained(
            place.folder,
            config=config,
            dtype=torch.float32,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **extra,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise IncompatibleError(f"{place.folder} cannot be loaded: {reason}") from None
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = set(info["missing_keys"]) | {name for name, *_ in info["mismatched_keys"]}
    return body.eval(), frozenset(missing)


def _pooling(folder: Path) -> str:
    """Return how the model was trained to be pooled, where its files say so."""
    path = folder / "1_Pooling" / "config.json"
    if path.is_file():
        values = json.loads(path.read_text("utf-8"))
        for mode, name in POOLING.items():
            if values.get(f"pooling_mode_{mode}"):
                return name
    return "mean"
