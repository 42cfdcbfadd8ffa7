"""Toy heads: a label for each word, and text that is generated."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from hub_core.declare import Column
from hub_core.model import Batch, Head, Row


class ToyTags(Head):
    columns = (
        Column("tokens", "tokens", ("tokens",)),
        Column("tags", "tags", ("tags",), target=True),
    )
    metric = "accuracy"

    def __init__(self, options, task, backbone):
        super().__init__(options, task, backbone)
        self.output = nn.Linear(backbone.layout.hidden, len(task.labels))

    def features(self, examples, backbone):
        tokens = backbone.tokenize([" ".join(e["tokens"]) for e in examples])
        numbers = {label: n for n, label in enumerate(self.task.labels)}
        return [
            Row(t.inputs, e, i, [numbers[tag] for tag in e["tags"]] if "tags" in e else None)
            for i, (t, e) in enumerate(zip(tokens, examples, strict=True))
        ]

    def collate(self, rows, backbone):
        targets = None
        if all(row.target is not None for row in rows):
            targets = pad_sequence([torch.tensor(r.target) for r in rows], True, -100)
        return Batch(self.task.name, rows, backbone.collate([r.inputs for r in rows]), targets)

    def forward(self, encoded, batch):
        return self.output(encoded.hidden.float())  # (B, T, labels)

    def loss(self, scores, batch):
        return F.cross_entropy(scores.transpose(1, 2), batch.targets, reduction="none").mean(1)

    def decode(self, scores, batch, model):
        return [s[: row.length].float() for s, row in zip(scores, batch.rows, strict=True)]

    def predict(self, decoded, rows):
        return [{"tags": [self.task.labels[i] for i in s.argmax(-1).tolist()]} for s in decoded]

    def metrics(self, predictions, examples):
        pairs = [(p, t) for found, e in zip(predictions, examples, strict=True)
                 for p, t in zip(found["tags"], e["tags"], strict=True)]  # fmt: skip
        return {"accuracy": sum(p == t for p, t in pairs) / len(pairs)}


class ToyGenerate(Head):
    """Continues a text of single characters; trained on the answer only."""

    columns = (
        Column("text", "text", ("text",)),
        Column("answer", "text", ("answer",), target=True),
    )
    metric = "exact"

    def features(self, examples, backbone):
        asked = backbone.tokenize([e["text"] for e in examples])
        told = backbone.tokenize([e.get("answer", "") for e in examples])
        rows = []
        for index, (ask, tell, example) in enumerate(zip(asked, told, examples, strict=True)):
            ids = [*ask.inputs["ids"], *tell.inputs["ids"]]
            rows.append(Row({"ids": ids}, example, index, len(ask.inputs["ids"])))
        return rows

    def forward(self, encoded, batch):
        return encoded.hidden

    def loss(self, scores, batch):
        ids, mask = batch.inputs["ids"], batch.inputs["mask"].bool()
        answer = mask & (torch.arange(ids.shape[1]) >= batch.targets[:, None])
        logits = scores[:, :-1].float() @ self.words.T
        loss = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        return (loss * answer[:, 1:]).sum(1) / answer.sum(1)

    def __init__(self, options, task, backbone):
        super().__init__(options, task, backbone)
        self._backbone = [backbone]  # in a list: no second owner of its parameters

    @property
    def words(self):
        return self._backbone[0].embed.weight

    def decode(self, scores, batch, model):
        asked = [{"ids": r.inputs["ids"][: r.target]} for r in batch.rows]
        return list(model.backbone.generate(model.backbone.collate(asked), 2))

    def predict(self, decoded, rows):
        return [{"text": " ".join(chr(i - 10) for i in found.tolist())} for found in decoded]

    def metrics(self, predictions, examples):
        same = [p["text"] == e["answer"] for p, e in zip(predictions, examples, strict=True)]
        return {"exact": sum(same) / len(same)}
