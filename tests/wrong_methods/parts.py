"""Strategies and compressors that each break one promise."""

import random

import torch
from torch import nn
from torch.nn.utils import parametrize

from hub_core.model import Wrapper
from hub_core.part import Part, created
from hub_core.testing.toys.compressors import Round
from hub_core.testing.toys.strategies import Open, Shifted


class Adding(Part):
    """Wraps the body or linear layers, and trains what is added."""

    learning_rate_hint = 3e-3
    made = Shifted
    added = frozenset()

    def prepare(self, model, ctx):
        before = frozenset(model.parameters())
        for path, _ in list(model.linears("up")):
            model.wrap(path, self.made)
        self.added = created(before, model)

    def select(self, model, chosen, clock):
        return chosen | self.added


class DrawsFromNowhere(Open):
    def prepare(self, model, ctx):
        self.factor = random.random()

    def learning_rate(self, clock):
        return self.factor


class Unlearns(Open):
    def on_loss(self, model, batch, output, losses, clock):
        losses.scale("task", -1.0)


class CountsSteps(Open):
    steps = 0

    def on_gradients(self, model, clock):
        self.steps += 1
        for parameter in model.head_parameters():
            if parameter.grad is not None:
                parameter.grad.add_(0.01 * self.steps)


class Summed(Shifted):
    def forward(self, hidden):
        given = self.base_layer(hidden)
        total = self.shift.expand_as(given).clone().flatten(0, 1)
        return total.index_add(0, torch.arange(len(total)), given.flatten(0, 1)).view_as(given)


class MixesTypes(Adding):
    made = Summed


ELSEWHERE = {}


class RemembersElsewhere(Open):
    def select(self, model, chosen, clock):
        return chosen

    def finalize(self, model, ctx):
        if not ctx.restoring:
            ELSEWHERE["factor"] = 3.0
        for _, linear in model.linears():
            linear.weight.mul_(ELSEWHERE.get("factor", 1.0))


class Prompted(Wrapper):
    strip, told = False, True

    def __init__(self, base_layer):
        super().__init__(base_layer)
        self.vectors = nn.Parameter(torch.randn(2, 32))

    def forward(self, hidden, mask):
        hidden = torch.cat([self.vectors.expand(len(hidden), -1, -1), hidden], 1)
        mask = torch.cat([mask.new_ones(len(mask), 2), mask], 1)
        return self.base_layer(hidden, mask)


class KeepsItsPrompt(Adding):
    def prepare(self, model, ctx):
        before = frozenset(model.parameters())
        model.wrap("backbone.body", Prompted)
        self.added = created(before, model)


class Averaged(Wrapper):
    def forward(self, hidden, mask):
        return self.base_layer(hidden, mask) + hidden.mean(1, keepdim=True)


class SeesPadding(Part):
    def prepare(self, model, ctx):
        model.wrap("backbone.body", Averaged)


class MovesFrozen(Part):
    @torch.no_grad()
    def on_step_end(self, model, clock):
        for _, linear in model.linears("up"):
            linear.weight.mul_(0.99)


class MovesAtStart(Part):
    @torch.no_grad()
    def prepare(self, model, ctx):
        for _, linear in model.linears("up"):
            linear.weight.mul_(0.5)


class CountsSelects(Part):
    asked = 0

    def select(self, model, chosen, clock):
        self.asked += 1
        return frozenset(model.parameters()) if self.asked > 3 else chosen


class RatesByChance(Open):
    def learning_rate(self, clock):
        return random.random()


class Scaled(Wrapper):
    def __init__(self, base_layer, factor):
        super().__init__(base_layer)
        self.factor = factor

    def forward(self, hidden):
        return self.factor * self.base_layer(hidden)


class ForgetsItsChoice(Part):
    def prepare(self, model, ctx):
        factor = float(torch.rand((), generator=ctx.generator))
        for path, _ in list(model.linears("up")):
            model.wrap(path, lambda layer: Scaled(layer, factor))


class ForgetsBetween(Open):
    calls = 0

    def on_step_end(self, model, clock):
        self.calls += 1

    def state_dict(self):
        return {"calls": self.calls}


class LeavesAHook(Open):
    def prepare(self, model, ctx):
        model.backbone.register_forward_hook(lambda *_: None)


class Doubled(nn.Module):
    def forward(self, weight):
        return weight * 2


class LeavesAParametrization(Open):
    def prepare(self, model, ctx):
        for _, linear in model.linears("up"):
            parametrize.register_parametrization(linear, "weight", Doubled())


class Holding(Shifted):
    def __init__(self, base_layer):
        super().__init__(base_layer)
        self.factor = torch.ones(base_layer.out_features)

    def forward(self, hidden):
        return super().forward(hidden) * self.factor


class HoldsATensor(Adding):
    made = Holding


class Hiding(Shifted):
    def __init__(self, base_layer):
        super().__init__(base_layer)
        kept = torch.ones(base_layer.out_features)
        self.factor = lambda: kept

    def forward(self, hidden):
        return super().forward(hidden) * self.factor()


class HidesATensor(Adding):
    made = Hiding


class HalvesAtTheEnd(Open):
    def finalize(self, model, ctx):
        for parameter in model.head_parameters():
            parameter.mul_(0.5)


class Twice(Shifted):
    def fold(self, linear):
        linear.bias.add_(2 * self.shift)


class FoldsTwice(Adding):
    learning_rate_hint = 3e-2
    made = Twice


class LosesTooMuch(Part):
    def finalize(self, model, ctx):
        for path, _ in list(model.linears()):
            linear = model.bake(path)
            linear.weight.copy_(linear.weight.sign() * linear.weight.abs().mean())


class ReportsTooFewBytes(Round):
    def report(self, model):
        return {**super().report(model), "bytes_after": 1}


class ReportsNoNumber(Part):
    def report(self, model):
        return {"share": float("nan")}
