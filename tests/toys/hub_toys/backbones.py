"""Toy backbones: an encoder and a decoder of two layers, and a BiLSTM that is nothing like them."""

import hashlib
import zlib

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from hub_core.declare import Layout
from hub_core.errors import BaseMismatchError
from hub_core.identity import Identity
from hub_core.model import Backbone, Encoded, Tokens, tensors_of


class Toy(Backbone):
    """Words are numbers, a single character its own; the seed option is the checkpoint."""

    @classmethod
    def plan(cls, options, ctx):
        return cls.tags

    @classmethod
    def load(cls, options, ctx):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            backbone = cls(options.width)
        parts = [t.numpy().tobytes() for t in tensors_of(backbone.requires_grad_(False)).values()]
        found = hashlib.sha256(b"".join(parts)).hexdigest()
        if ctx.identity is not None and ctx.identity.fingerprint != found:
            raise BaseMismatchError(f"another toy: {found[:16]}")
        backbone.identity = Identity(found, hashlib.sha256(str(cls).encode()).hexdigest())
        if ctx.empty:
            for parameter in backbone.parameters():
                parameter.zero_()
        return backbone.requires_grad_(True)

    def tokenize(self, texts, pairs=None):
        joined = (
            texts if pairs is None else [f"{a} | {b}" for a, b in zip(texts, pairs, strict=True)]
        )
        return [Tokens({"ids": [number(word) for word in text.split()[:24]]}) for text in joined]

    def collate(self, inputs):
        ids = [torch.tensor(item["ids"]) for item in inputs]
        mask = [torch.ones(len(item)) for item in ids]
        return {"ids": pad_sequence(ids, True), "mask": pad_sequence(mask, True)}

    def save_config(self, folder):
        (folder / "toy.json").write_text("{}\n")


def number(word):
    return ord(word) % 90 + 10 if len(word) == 1 else zlib.crc32(word.encode()) % 90 + 10


class Layer(nn.Module):
    def __init__(self, width, causal):
        super().__init__()
        self.causal, self.heads = causal, 2
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, hidden, mask):
        b, t, _ = hidden.shape
        q, k, v = (f(hidden).view(b, t, self.heads, -1).transpose(1, 2)
                   for f in (self.query, self.key, self.value))  # fmt: skip
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5  # (B, heads, T, T)
        seen = mask.bool()[:, None, None, :].expand(b, 1, t, t)
        seen = seen.tril() if self.causal else seen
        weights = scores.masked_fill(~seen, -1e4).softmax(-1)
        hidden = hidden + self.out((weights @ v).transpose(1, 2).reshape(b, t, -1))
        hidden = self.norms[0](hidden)
        return self.norms[1](hidden + self.down(torch.relu(self.up(hidden))))


class Stack(nn.Module):
    def __init__(self, width, causal):
        super().__init__()
        self.layer = nn.ModuleList(Layer(width, causal) for _ in range(2))

    def forward(self, hidden, mask):
        for layer in self.layer:
            hidden = layer(hidden, mask)
        return hidden


ROLES = {"query": "query", "key": "key", "value": "value", "out": "attention-out", "up": "up",
         "down": "down"}  # fmt: skip


class ToyEncoder(Toy):
    tags = frozenset({"text", "linears", "layers", "attention"})
    causal = False

    def __init__(self, width):
        super().__init__()
        self.embed, self.body = nn.Embedding(100, width), Stack(width, self.causal)
        layers = tuple(f"body.layer.{n}" for n in range(2))
        linears = {f"{layer}.{name}": role for layer in layers for name, role in ROLES.items()}
        self.layout = Layout(layers, linears, "embed", width)

    def encode(self, inputs):
        return Encoded(self.body(self.embed(inputs["ids"]), inputs["mask"]), inputs["mask"])


class ToyDecoder(ToyEncoder):
    tags = ToyEncoder.tags | {"generates", "vocabulary"}
    causal = True

    def logits(self, hidden):
        return hidden @ self.embed.weight.T  # (B, T, 100)

    def generate(self, inputs, length):
        found = []
        for ids, mask in zip(inputs["ids"], inputs["mask"], strict=True):
            sequence = ids[mask.bool()][None]
            for _ in range(length):
                encoded = self.encode({"ids": sequence, "mask": torch.ones_like(sequence)})
                best = self.logits(encoded.hidden)[:, -1:].argmax(-1)
                sequence = torch.cat([sequence, best], 1)
            found.append(sequence[0, -length:])
        return torch.stack(found)


class ToyBiLstm(Toy):
    tags = frozenset({"text"})

    def __init__(self, width):
        super().__init__()
        self.embed = nn.Embedding(100, width)
        self.lstm = nn.LSTM(width, width // 2, bidirectional=True, batch_first=True)
        self.layout = Layout((), {}, "embed", width)

    def encode(self, inputs):
        hidden, _ = self.lstm(self.embed(inputs["ids"]))
        return Encoded(hidden, inputs["mask"])
