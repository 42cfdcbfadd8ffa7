"""A backbone with two layers; the seed is the whole checkpoint."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hub_core.declare import Layout
from hub_core.errors import BaseMismatchError
from hub_core.identity import Identity
from hub_core.model import Backbone, Encoded, Tokens
from hub_core.part import Context

WORDS, WIDTH, LONGEST = 64, 16, 32


class Layer(nn.Module):
    """h + up(relu(h))."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen_up = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, T, D) for (B, T, D)."""
        return hidden + self.frozen_up(hidden.relu())


class FrozenStack(Backbone):
    """Word vectors under two layers."""

    tags = frozenset({"text", "layers", "linears", "generates"})
    pooling = "mean"

    def __init__(self) -> None:
        super().__init__()
        self.frozen_words = nn.Embedding(WORDS, WIDTH)
        self.frozen_stack = nn.ModuleList([Layer(), Layer()])
        layers = tuple(f"frozen_stack.{number}" for number in range(2))
        linears = {f"{layer}.frozen_up": "up" for layer in layers}
        self.layout = Layout(layers, linears, "frozen_words", WIDTH, LONGEST)

    @classmethod
    def plan(cls, options: Any, ctx: Context) -> frozenset[str]:
        """Return its tags."""
        return cls.tags

    @classmethod
    def load(cls, options: Any, ctx: Context) -> FrozenStack:
        """Draw the weights; ``fork_rng`` leaves the caller's chance alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            backbone = cls()
        weights = b"".join(t.numpy().tobytes() for t in backbone.state_dict().values())
        found = hashlib.sha256(weights).hexdigest()
        if ctx.identity is not None and ctx.identity.fingerprint != found:
            raise BaseMismatchError(f"seed {options.seed} gives other weights than are wanted")
        backbone.identity = Identity(found, hashlib.sha256(b"frozen").hexdigest(), name="frozen")
        if ctx.empty:
            for parameter in backbone.parameters():
                parameter.data.zero_()
        return backbone

    @classmethod
    def files(cls, options: Any, ctx: Context) -> dict[str, Path]:
        """Refuse as the core does."""
        return super().files(options, ctx)

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Return the hidden states, (B, T, D)."""
        hidden = self.frozen_words(inputs["ids"])
        for layer in self.frozen_stack:
            hidden = layer(hidden)
        return Encoded(hidden, inputs["mask"])

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """Return the checksum of each word."""
        joined = texts if pairs is None else [f"{a} {b}" for a, b in zip(texts, pairs, strict=True)]
        found = [[zlib.crc32(w.encode()) % WORDS for w in text.split()] or [0] for text in joined]
        return [Tokens({"ids": ids[:LONGEST]}, truncated=len(ids) > LONGEST) for ids in found]

    def collate(self, inputs: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Tensor]:
        """Pad with zeros."""
        ids = [torch.tensor(item["ids"]) for item in inputs]
        mask = [torch.ones(len(item)) for item in ids]
        return {"ids": pad_sequence(ids, True), "mask": pad_sequence(mask, True)}

    def generate(self, inputs: Mapping[str, Tensor], length: int) -> Tensor:
        """Return zeros, (B, length)."""
        return torch.zeros(len(inputs["ids"]), length, dtype=torch.long)

    def save_config(self, folder: Path) -> None:
        """Write nothing: the options are in the recipe."""

    def export(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return None: no library has this model."""
        return None
