"""Toy backbones: words are numbers, and a seed stands for the checkpoint."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hub_core.declare import Layout
from hub_core.errors import BaseMismatchError
from hub_core.identity import Identity
from hub_core.model import Backbone, Encoded, Tokens, Words, tensors_of
from hub_core.part import Context

WORDS, LONGEST = 100, 24
ROLES = {"query": "query", "key": "key", "value": "value", "out": "attention-out", "up": "up",
         "down": "down"}  # fmt: skip
OWN = frozenset({"text", "hub-testing:words"})
STACK = OWN | {"layers", "linears", "attention"}


class Toy(Backbone):
    """Tokenizing, collating and identity, which all toys have in common."""

    able: ClassVar[frozenset[str]] = OWN

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tags = self.able
        self.embed = nn.Embedding(WORDS, width)

    @classmethod
    def plan(cls, options: Any, ctx: Context) -> frozenset[str]:
        """Return its tags."""
        return cls.able

    @classmethod
    def load(cls, options: Any, ctx: Context) -> Toy:
        """Draw the weights that belong to the seed; zeros with ``ctx.empty``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            backbone = cls(options.width)
        values = [t.detach().numpy().tobytes() for t in tensors_of(backbone).values()]
        found = hashlib.sha256(b"".join(values)).hexdigest()
        if ctx.identity is not None and ctx.identity.fingerprint != found:
            raise BaseMismatchError(f"another toy was found, with the weights {found[:16]}")
        config = hashlib.sha256(f"{cls.__name__} {options.width}".encode()).hexdigest()
        backbone.identity = Identity(found, config)
        if ctx.empty:
            for parameter in backbone.parameters():
                parameter.data.zero_()
        return backbone

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """Return a number for every word, and one that stands between two texts."""
        both = pairs or [""] * len(texts)
        joined = [f"{a} | {b}" if b else a for a, b in zip(texts, both, strict=True)]
        words = [text.split() or [""] for text in joined]
        return [
            Tokens({"ids": [number(word) for word in found[:LONGEST]]}, len(found) > LONGEST)
            for found in words
        ]

    def words(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Words]:
        """Return where every word stands, and None for what stands between two texts."""
        both = pairs or [""] * len(texts)
        found = [[*_places(a, 0), *([None, *_places(b, 1)] if b else ())]
                 for a, b in zip(texts, both, strict=True)]  # fmt: skip
        return [(words or [None])[:LONGEST] for words in found]

    def collate(self, inputs: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Tensor]:
        """Pad with zeros."""
        ids = [torch.tensor(item["ids"]) for item in inputs]
        mask = [torch.ones(len(item)) for item in ids]
        return {"ids": pad_sequence(ids, True), "mask": pad_sequence(mask, True)}

    def save_config(self, folder: Path) -> None:
        """Write a file that nothing needs: the options are in the recipe."""
        (folder / "toy.json").write_text("{}\n", encoding="utf-8")


def _places(text: str, segment: int) -> Words:
    return [(segment, *found.span()) for found in re.finditer(r"\S+", text)]


def number(word: str) -> int:
    """Return a word's number, at least 10."""
    return zlib.crc32(word.encode()) % (WORDS - 10) + 10


class Layer(nn.Module):
    """Attention with two heads, then two linear layers with a rectifier between."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.causal, self.heads = causal, 2
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(0.05)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return (B, T, D) for (B, T, D) and a mask (B, T)."""
        b, t, _ = hidden.shape
        q, k, v = (f(hidden).view(b, t, self.heads, -1).transpose(1, 2)
                   for f in (self.query, self.key, self.value))  # fmt: skip
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5  # (B, heads, T, T)
        seen = mask.bool()[:, None, None, :].expand(b, 1, t, t)
        seen = seen.tril() if self.causal else seen
        weights = scores.masked_fill(~seen, -1e4).softmax(-1)
        mixed = self.out((weights @ v).transpose(1, 2).reshape(b, t, -1))  # (B, T, D)
        hidden = self.first(hidden + self.drop(mixed))
        up = torch.relu(self.up(hidden))
        normed: Tensor = self.second(hidden + self.drop(self.down(up)))
        return normed


class Stack(nn.Module):
    """Two layers."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(width, causal=causal) for _ in range(2))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return what the highest layer gives, (B, T, D)."""
        for layer in self.layer:
            hidden = layer(hidden, mask)
        return hidden


class ToyStack(Toy):
    """A stack of numbered layers made of linear ones."""

    able: ClassVar = STACK
    causal: ClassVar = False

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.body = Stack(width, causal=self.causal)
        layers = tuple(f"body.layer.{n}" for n in range(2))
        linears = {f"{layer}.{name}": role for layer in layers for name, role in ROLES.items()}
        self.layout = Layout(layers, linears, "embed", width, LONGEST)

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Return the hidden states."""
        return Encoded(self.body(self.embed(inputs["ids"]), inputs["mask"]), inputs["mask"])


class ToyPooled(ToyStack):
    """A stack with a pooling layer of its own over the first word."""

    able: ClassVar = STACK | {"pooler"}
    pooling = "pooler"

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.pooler = nn.Linear(width, width)
        self.layout = replace(self.layout, pooler="pooler")

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Return the hidden states, and what the pooling layer gives, (B, D)."""
        encoded = super().encode(inputs)
        return replace(encoded, pooled=torch.tanh(self.pooler(encoded.hidden[:, 0])))


class ToyCausal(ToyStack):
    """A stack that sees only what came before, with an output layer tied to its embeddings."""

    able: ClassVar = STACK | {"generates", "vocabulary"}
    causal: ClassVar = True

    def generate(self, inputs: Mapping[str, Tensor], length: int) -> Tensor:
        """Return the likeliest words, one after the other, (B, length)."""
        found = []
        for ids, mask in zip(inputs["ids"], inputs["mask"], strict=True):
            sequence = ids[mask.bool()][None]
            for _ in range(length):
                encoded = self.encode({"ids": sequence, "mask": torch.ones_like(sequence)})
                best = (encoded.hidden[:, -1:] @ self.embed.weight.T).argmax(-1)
                sequence = torch.cat([sequence, best], 1)
            found.append(sequence[0, -length:])
        return torch.stack(found)


class ToyRecurrent(Toy):
    """A recurrent layer: no numbered layers, no linear ones."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.recur = nn.GRU(width, width, batch_first=True)
        self.layout = Layout((), {}, "embed", width, LONGEST)

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Return the states after each word; padding comes last, so it changes none of them."""
        hidden, _ = self.recur(self.embed(inputs["ids"]))
        return Encoded(hidden, inputs["mask"])
