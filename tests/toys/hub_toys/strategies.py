"""Toy strategies."""

import torch
from torch import nn

from hub_core.declare import Stage
from hub_core.model import Wrapper
from hub_core.part import ParameterOptions, Part, created


class LpFt(Part):
    """Linear probe, then everything at a lower rate."""

    def stages(self, ctx):
        return (Stage("probe", 0.5, 1e-2), Stage("tune", 0.5, 1e-3))

    def select(self, model, chosen, clock):
        return chosen if clock.stage == "probe" else frozenset(model.parameters())


class Gradual(Part):
    """Layers thaw from the top down; lower ones learn slower; slanted triangular rates."""

    def select(self, model, chosen, clock):
        thawed = 1 + int(clock.progress * len(model.layers()))
        return chosen.union(*(layer.parameters() for layer in model.layers()[-thawed:]))

    def optimizer_options(self, model):
        return {
            parameter: ParameterOptions(scale=2.6**-depth)
            for depth, layer in enumerate(reversed(model.layers()))
            for parameter in layer.parameters()
        }

    def schedule(self, clock):
        cut = 0.1
        share = clock.progress / cut if clock.progress < cut else (1 - clock.progress) / (1 - cut)
        return (1 + share * 31) / 32


class LowRankSgd(torch.optim.Optimizer):
    """Momentum of the gradient's projection onto its leading directions, renewed now and then."""

    def __init__(self, groups):
        super().__init__(groups, {"lr": 0.0, "rank": 4, "renew": 3})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                state, grad = self.state[p], p.grad.reshape(len(p.grad), -1)
                if state.setdefault("step", 0) % group["renew"] == 0:
                    state["basis"] = torch.linalg.svd(grad, False)[0][:, : group["rank"]]
                low = state["basis"].T @ grad
                state["mean"] = low if state["step"] == 0 else 0.9 * state["mean"] + low
                p.add_((state["basis"] @ state["mean"]).view_as(p), alpha=-group["lr"])
                state["step"] += 1


class LowRankOptimizer(Part):
    learning_rate_hint = 1e-2

    def optimizer(self, groups, ctx):
        return LowRankSgd(groups)


class Bounded(Wrapper):
    def __init__(self, base_layer):
        super().__init__(base_layer)
        self.register_buffer("cap", torch.tensor(1.0))

    def forward(self, encoded, batch):
        return self.cap * torch.tanh(self.base_layer(encoded, batch) / self.cap)


class GrowingRange(Part):
    """The scores' range grows whenever the validation metric does."""

    def __init__(self, options):
        super().__init__(options)
        self.best = float("-inf")
        self.heads = []

    def prepare(self, model, ctx):
        for name in model.heads:
            model.wrap(f"heads.{name}", Bounded)
        self.heads = list(model.heads.values())

    def on_evaluation(self, model, metrics, clock):
        score = sum(metrics.values())
        if score > self.best:
            self.best = score
            for head in self.heads:
                head.cap = head.cap * 1.5  # a new buffer object, as people write it

    def state_dict(self):
        return {"best": None if self.best == float("-inf") else self.best}

    def load_state_dict(self, state):
        self.best = float("-inf") if state["best"] is None else state["best"]


class Alternate(Part):
    """The tasks take turns."""

    def next_task(self, tasks, clock):
        return tasks[clock.step % len(tasks)]


class Pairs(Part):
    """Training examples are replaced by pairs of the same label, drawn at random."""

    def examples(self, examples, task, ctx):
        order = torch.randperm(len(examples), generator=ctx.generator).tolist()
        groups = {}
        for index in order:
            groups.setdefault(examples[index]["label"], []).append(examples[index])
        return [
            {**one, "pair": two["text"]}
            for group in groups.values()
            for one, two in zip(group, group[1:] + group[:1], strict=True)
        ]


class Prompt(Wrapper):
    """Vectors before the input, stripped from the output."""

    def __init__(self, base_layer, count, width):
        super().__init__(base_layer)
        self.vectors = nn.Parameter(0.1 * torch.randn(count, width))

    def forward(self, hidden, mask):
        count = len(self.vectors)
        hidden = torch.cat([self.vectors.expand(len(hidden), -1, -1), hidden], 1)
        mask = torch.cat([mask.new_ones(len(mask), count), mask], 1)
        return self.base_layer(hidden, mask)[:, count:]


class Prefix(Part):
    learning_rate_hint = 1e-2

    def prepare(self, model, ctx):
        before = set(model.parameters())
        width = model.backbone.layout.hidden
        model.wrap("backbone.body", lambda body: Prompt(body, 3, width))
        self.added = created(before, model)

    def select(self, model, chosen, clock):
        return chosen | self.added
