"""Backbones that each break one promise."""

from dataclasses import replace

import torch

from hub_core.identity import Identity
from hub_core.model import Encoded, Tokens
from hub_core.testing.toys.backbones import LONGEST, ToyCausal, ToyStack


class IsNobody(ToyStack):
    @classmethod
    def load(cls, options, ctx):
        backbone = super().load(options, ctx)
        backbone.identity = Identity("me", backbone.identity.config)
        return backbone


class TakesAnything(ToyStack):
    @classmethod
    def load(cls, options, ctx):
        return super().load(options, replace(ctx, identity=None))


class IsDrawnAnew(ToyStack):
    @classmethod
    def load(cls, options, ctx):
        backbone = super().load(options, ctx)
        torch.nn.init.normal_(backbone.embed.weight)
        return backbone


class PlansByLoading(ToyStack):
    @classmethod
    def plan(cls, options, ctx):
        return cls.load(options, ctx).tags


class PlansOtherTags(ToyStack):
    @classmethod
    def plan(cls, options, ctx):
        return cls.able | {"audio"}


class IsElsewhere(ToyStack):
    def __init__(self, width):
        super().__init__(width)
        self.layout = replace(self.layout, embeddings="words")


class HasOddRoles(ToyStack):
    def __init__(self, width):
        super().__init__(width)
        self.layout = replace(self.layout, linears=dict.fromkeys(self.layout.linears, "matrix"))


class AveragesPadding(ToyStack):
    def encode(self, inputs):
        hidden = self.embed(inputs["ids"])
        return Encoded(hidden + hidden.mean(1, keepdim=True), inputs["mask"])


class CutsInSilence(ToyStack):
    def tokenize(self, texts, pairs=None):
        return [Tokens(found.inputs) for found in super().tokenize(texts, pairs)]


class SplitsByCompany(ToyStack):
    def tokenize(self, texts, pairs=None):
        found = super().tokenize(texts, pairs)
        most = LONGEST // max(1, len(texts))
        return [Tokens({"ids": f.inputs["ids"][:most]}, f.truncated) for f in found]


class ComesBackSmaller(ToyStack):
    @classmethod
    def load(cls, options, ctx):
        smaller = options.model_copy(update={"width": 16}) if ctx.folder else options
        return super().load(smaller, replace(ctx, identity=None if ctx.folder else ctx.identity))


class TellsItsPlace(ToyStack):
    @classmethod
    def load(cls, options, ctx):
        backbone = super().load(options, ctx)
        backbone.identity = replace(backbone.identity, name="/home/someone/model")
        return backbone


class GeneratesTooMuch(ToyCausal):
    def generate(self, inputs, length):
        return super().generate(inputs, length + 1)
