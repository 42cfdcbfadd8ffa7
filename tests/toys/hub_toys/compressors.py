"""Toy compressors."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from hub_core.part import Part


class Distill(Part):
    """The recipe's backbone learns a teacher's soft targets."""

    teacher = None

    def prepare(self, model, ctx):
        if not ctx.restoring and self.options.teacher:
            self.teacher = ctx.load(self.options.teacher)

    def on_loss(self, model, batch, output, losses, clock):
        if self.teacher is None:
            return
        target = self.teacher.scores([row.example for row in batch.rows])
        soft = F.kl_div(
            (output.scores.float() / 2).log_softmax(-1),
            (target / 2).softmax(-1).to(output.scores.device),
            reduction="batchmean",
        )
        losses.scale("task", 0.3)
        losses.add("distill", 4 * soft, 0.7)


class Shrink(Part):
    """Feed-forward channels with the smallest weights are cut out before anything is added."""

    def __init__(self, options):
        super().__init__(options)
        self.kept = []

    def reshape(self, model, ctx):
        ups, downs = dict(model.linears("up")), dict(model.linears("down"))
        if not ctx.restoring and not self.kept:
            self.kept = [
                up.weight.norm(dim=1).topk(up.out_features // 2).indices.sort().values.tolist()
                for up in ups.values()
            ]
        for kept, up, down in zip(self.kept, ups.values(), downs.values(), strict=True):
            for parameter, dimension in ((up.weight, 0), (up.bias, 0), (down.weight, 1)):
                index = torch.tensor(kept)
                parameter.data = parameter.data.index_select(dimension, index)
            up.out_features = down.in_features = len(kept)

    def state_dict(self):
        return {"kept": self.kept}

    def load_state_dict(self, state):
        self.kept = state["kept"]


class Keep(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight))

    def forward(self, weight):
        return weight * self.mask


class Mask(Part):
    """Small weights are masked more and more during training, and are zero in the end."""

    changes_body = True

    def prepare(self, model, ctx):
        self.masks = []
        for _, linear in model.linears("up"):
            mask = Keep(linear.weight)
            parametrize.register_parametrization(linear, "weight", mask)
            self.masks.append((linear, mask))

    @torch.no_grad()
    def on_step_end(self, model, clock):
        for linear, keep in self.masks:
            keep.mask.fill_(1)
            weight = linear.weight.abs()
            count = round(0.5 * (clock.step + 1) / clock.steps * weight.numel())
            if count:
                keep.mask.copy_(weight > weight.flatten().kthvalue(count).values)

    def servable(self, model, clock):
        return clock.step + 1 == clock.steps  # a best model of an earlier epoch has fewer zeros

    def finalize(self, model, ctx):
        for path, _ in list(model.linears("up")):
            model.bake(path)
