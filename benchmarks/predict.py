"""Prediction: ``hub predict`` on 2,000 sentences against ``transformers.pipeline``.

    python benchmarks/predict.py [--sentences N] [--rounds N] [--json OUT]

Both are whole processes, from their start to the last label, on one thread, and hold the same
weights: an encoder that was tuned here, merged for the pipeline into a plain model with the same
mean pooling. The pipeline runs at its defaults, and at the best of some batch sizes in float32 and
bfloat16. Ratios are medians of paired rounds. Labels are compared with those of float32.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORK = HERE / "results" / "predict.run"
ARTIFACT = WORK / "artifact"
BATCHES = (8, 32, 128)
GOALS = {"defaults": 6.0, "best": 5.0}

PIPELINE = """
import json, sys
import torch
from torch import nn
from transformers import AutoTokenizer, BertModel, BertPreTrainedModel, pipeline
from transformers.modeling_outputs import SequenceClassifierOutput

class MeanPooled(BertPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.output = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask, token_type_ids=None, **_):
        hidden = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return SequenceClassifierOutput(logits=self.output((hidden * mask).sum(1) / mask.sum(1)))

folder, texts, batch, dtype = sys.argv[1:]
options = {} if batch == "0" else {"batch_size": int(batch)}
model = MeanPooled.from_pretrained(folder, dtype=getattr(torch, dtype))
run = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder),
               device="cpu", **options)
lines = open(texts, encoding="utf-8").read().splitlines()
print(json.dumps([found["label"] for found in run(lines)]))
"""


def trained() -> None:
    """Tune an encoder on movie sentences, once, and write it for both sides."""
    if (WORK / "plain" / "model.safetensors").is_file():
        return
    import torch
    from baseline import encoder_folder
    from safetensors.torch import save_file
    from training import movies
    from transformers import AutoConfig, AutoTokenizer

    import hub_core

    recipe = {
        "backbone": {"name": "transformers", "model": str(encoder_folder())},
        "tasks": {"task": {"head": "classification"}},
        "strategies": ["full"],
        "training": {"epochs": 2, "threads": 1},
    }
    result = hub_core.train(recipe, movies()[2000:], out=ARTIFACT, overwrite=True)
    model = result.predictor.model
    plain = WORK / "plain"
    config = AutoConfig.from_pretrained(encoder_folder())
    labels = result.predictor.task().labels
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.save_pretrained(plain)
    AutoTokenizer.from_pretrained(encoder_folder()).save_pretrained(plain)
    head = model.head("task").state_dict()
    tensors = {f"output.{name}": head[f"output.{name}"] for name in ("weight", "bias")}
    body = model.backbone.state_dict()
    tensors |= {f"bert.{name.removeprefix('body.')}": tensor for name, tensor in body.items()}
    with torch.no_grad():
        ready = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(ready, plain / "model.safetensors", metadata={"format": "pt"})


def timed(command: list[str]) -> tuple[float, str]:
    """Return the seconds and the output of a whole process."""
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return time.perf_counter() - started, done.stdout


def ours(texts: Path, precision: str = "auto") -> tuple[float, list[str]]:
    """Return seconds and labels of ``hub predict``."""
    seconds, told = timed([sys.executable, "-m", "hub_core", "predict", str(ARTIFACT), "--file",
                           str(texts), "--json", "--precision", precision])  # fmt: skip
    return seconds, [json.loads(line)["label"] for line in told.splitlines()]


def theirs(texts: Path, batch: int, dtype: str = "float32") -> tuple[float, list[str]]:
    """Return seconds and labels of a pipeline; batch 0 leaves it at its defaults."""
    seconds, told = timed([sys.executable, "-c", PIPELINE, str(WORK / "plain"), str(texts),
                           str(batch), dtype])  # fmt: skip
    return seconds, json.loads(told.splitlines()[-1])


def agreement(first: list[str], second: list[str]) -> float:
    """Return the share of equal labels."""
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


def measure(texts: Path, rounds: int) -> dict[str, Any]:
    """Return seconds, ratios and agreement of labels."""
    choices = {(b, d): theirs(texts, b, d)[0] for b in BATCHES for d in ("float32", "bfloat16")}
    best = min(choices, key=choices.__getitem__)
    reference = ours(texts, "fp32")[1]
    times: dict[str, list[float]] = {"hub predict": [], "defaults": [], "best": []}
    for _ in range(rounds):
        seconds, labels = ours(texts)
        times["hub predict"].append(seconds)
        seconds, plain = theirs(texts, 0)
        times["defaults"].append(seconds)
        times["best"].append(theirs(texts, *best)[0])
    return {
        "times": times,
        "best": {"batch_size": best[0], "dtype": best[1]},
        "agreement": {
            "with our float32": agreement(labels, reference),
            "with the pipeline": agreement(labels, plain),
        },
    }


def show(found: dict[str, Any], sentences: int) -> None:
    """Print seconds, ratios beside goals, and agreement."""
    times = found["times"]
    print(f"{sentences} sentences, whole processes; best pipeline: {found['best']}")
    for name, seconds in times.items():
        own = times["hub predict"]
        ratio = statistics.median(a / b for a, b in zip(seconds, own, strict=True))
        goal = GOALS.get(name)
        verdict = (
            "" if goal is None else f"  goal {goal:.0f}x {'met' if ratio >= goal else 'MISSED'}"
        )
        print(f"{name:12} {statistics.median(seconds):7.1f} s {ratio:6.2f}x{verdict}")
    for name, share in found["agreement"].items():
        print(f"labels equal {name}: {share:.2%}  goal 99.50% "
              f"{'met' if share >= 0.995 else 'MISSED'}")  # fmt: skip


def main() -> None:
    """Tune once, then measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    WORK.mkdir(parents=True, exist_ok=True)
    trained()
    from training import movies

    texts = WORK / "texts.txt"
    lines = [row["text"] for row in movies()[: options.sentences]]
    texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = measure(texts, options.rounds)
    show(found, options.sentences)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
