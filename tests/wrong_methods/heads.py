"""Heads that each break one promise."""

import torch

from hub_core.declare import Column
from hub_core.model import Row
from hub_core.testing.toys.heads import ToyLabel


class ShufflesRows(ToyLabel):
    def features(self, examples, backbone):
        return super().features(examples, backbone)[::-1]


class ComparesExamples(ToyLabel):
    def features(self, examples, backbone):
        rows = super().features(examples, backbone)
        longest = max(row.length for row in rows)
        return [Row({"ids": (list(r.inputs["ids"]) * longest)[:longest]}, r.example, r.index,
                    r.target) for r in rows]  # fmt: skip


class KeepsTensors(ToyLabel):
    def features(self, examples, backbone):
        rows = super().features(examples, backbone)
        return [Row(r.inputs, r.example, r.index, torch.tensor(r.target or 0)) for r in rows]


class WantsTargets(ToyLabel):
    def features(self, examples, backbone):
        return super().features([{"label": "good", **e} for e in examples], backbone)


class AveragesLosses(ToyLabel):
    def loss(self, scores, batch):
        return super().loss(scores, batch).mean()


class PoolsPadding(ToyLabel):
    def forward(self, encoded, batch):
        return self.output(encoded.hidden.mean(1))


class ShowsPadding(ToyLabel):
    def attention(self, encoded, batch):
        return torch.ones_like(encoded.mask)[:, None].float().softmax(-1)


class ScoresOtherwise(ToyLabel):
    def forward(self, encoded, batch):
        return 2 * super().forward(encoded, batch)


class AimsAtNumbers(ToyLabel):
    def ideal_scores(self, batch):
        return batch.targets


class PredictsTensors(ToyLabel):
    def predict(self, decoded, rows):
        found = super().predict(decoded, rows)
        return [{**one, "scores": scores} for one, scores in zip(found, decoded, strict=True)]


class PredictsTooFew(ToyLabel):
    def predict(self, decoded, rows):
        return super().predict(decoded, rows)[1:]

    def metrics(self, predictions, examples):
        return {"accuracy": 0.0}


class HasNoSuchMetric(ToyLabel):
    def metrics(self, predictions, examples):
        return {"accuracy": 1.0, "f1": float("nan")}


class ReadsWhatIsOptional(ToyLabel):
    columns = (
        Column("text", "text", ("text",)),
        Column("label", "label", ("label",), required=False, target=True),
    )

    @classmethod
    def plan(cls, options, task):
        """Take whatever there is."""


class DividesByLabels(ToyLabel):
    @classmethod
    def plan(cls, options, task):
        1 / (len(task.labels) - 1)


class MixesOldLabels(ToyLabel):
    def grow(self, tensors, labels):
        found = {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}
        for name, tensor in tensors.items():
            found[name][: len(tensor)] = tensor
        return found


class KeepsItsScale(ToyLabel):
    scale = 1.0

    def observe(self, examples):
        self.scale = len(examples) / 4

    def forward(self, encoded, batch):
        return super().forward(encoded, batch) * self.scale
