"""One training run of one side, in a process of its own: its seconds, memory and accuracy.

    python benchmarks/sides.py '{"side": "ours", "mode": "head-only", ...}'

The sides are hub-core (``ours``) and a transformers ``Trainer`` script at its default arguments
(``D``), at its best settings (``B``), and with eager attention, no dropout and bfloat16 weights in
what is frozen besides (``B+``). All get the same encoder, mean pooling, head and epochs.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EPOCHS = {"lora-qv": 2, "lora-all": 2, "full": 2, "top-layers": 3, "head-only": 3}
MODES = tuple(EPOCHS)


@dataclass(frozen=True, slots=True)
class Job:
    """What one run is.

    Args:
        side: ``ours``, ``D``, ``B`` or ``B+``.
        mode: What trains.
        data: JSON lines with ``text`` and ``label``: one file for training, one for measuring.
        rate: The learning rate.
        seed: The seed.
        threads: Processor threads.
        curve: Whether accuracy is measured after every epoch too.
    """

    side: str
    mode: str
    data: tuple[str, str]
    rate: float
    seed: int
    threads: int
    curve: bool


def rows_of(path: str) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def ours(job: Job) -> dict[str, Any]:
    """Train with hub-core."""
    started = time.perf_counter()  # before anything heavy is imported, on all sides
    from baseline import encoder_folder

    import hub_core

    strategy = {
        "lora-qv": {"name": "lora", "targets": ["query", "value"]},
        "lora-all": {"name": "lora"},
    }.get(job.mode, {"name": job.mode})
    recipe = {
        "backbone": {"name": "transformers", "model": str(encoder_folder())},
        "tasks": {"task": {"head": "classification"}},
        "strategies": [strategy],
        "training": {
            "epochs": EPOCHS[job.mode],
            "learning_rate": job.rate,
            "seed": job.seed,
            "threads": job.threads,
            "device": "cpu",
        },
    }
    curve: list[dict[str, float]] = []
    held_out = rows_of(job.data[1])

    def report(event: str, figures: Any) -> None:
        if event == "epoch" and job.curve:
            seconds = time.perf_counter() - started
            curve.append(
                {"seconds": seconds, "accuracy": figures["validation"]["task"]["accuracy"]}
            )

    splits = {"train": rows_of(job.data[0])} | ({"validation": held_out} if job.curve else {})
    result = hub_core.train(recipe, splits, report=report)
    seconds = time.perf_counter() - started
    if curve:  # of the last epoch on all sides, not of the best one
        accuracy = curve[-1]["accuracy"]
    else:
        accuracy = result.predictor.evaluate(held_out)[0]["accuracy"]
    return {"seconds": seconds, "accuracy": accuracy, "curve": curve}


def theirs(job: Job) -> dict[str, Any]:
    """Train with a ``Trainer``."""
    started = time.perf_counter()
    import torch
    from baseline import encoder_folder, targets, tokenized
    from transformers import AutoTokenizer, PrinterCallback, Trainer, TrainerCallback, set_seed
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(job.threads)
    set_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    train, held_out = rows_of(job.data[0]), rows_of(job.data[1])
    target = targets("classification", train)
    model = _model(job.mode, plus=job.side == "B+", labels=len({row["label"] for row in train}))
    curve: list[dict[str, float]] = []

    class Told(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, **found: Any) -> None:
            seconds = time.perf_counter() - started
            curve.append({"seconds": seconds, "accuracy": found["metrics"]["eval_accuracy"]})

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=_arguments(job, folder),
            train_dataset=tokenized(tokenizer, train, target),
            eval_dataset=tokenized(tokenizer, held_out, target),
            processing_class=tokenizer,
            compute_metrics=lambda found: {
                "accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())
            },
            callbacks=[Told()] if job.curve else [],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        seconds = time.perf_counter() - started
        accuracy = trainer.evaluate()["eval_accuracy"]
    return {"seconds": seconds, "accuracy": accuracy, "curve": curve[: EPOCHS[job.mode]]}


def _model(mode: str, *, plus: bool, labels: int) -> Any:
    import torch
    from baseline import MeanPooled, encoder_folder
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    better: dict[str, Any] = {"attn_implementation": "eager"} if plus else {}
    encoder = AutoModel.from_pretrained(encoder_folder(), add_pooling_layer=False, **better)
    width = encoder.config.hidden_size
    if mode != "full":
        encoder.requires_grad_(False)
    if mode == "top-layers":
        encoder.encoder.layer[-2:].requires_grad_(True)
    if plus:
        for block in [encoder.embeddings, *encoder.encoder.layer]:
            if not any(parameter.requires_grad for parameter in block.parameters()):
                block.to(torch.bfloat16)
                for module in block.modules():
                    if isinstance(module, torch.nn.Dropout):
                        module.p = 0.0
    if mode.startswith("lora"):
        names: Any = ["query", "value"] if mode == "lora-qv" else "all-linear"
        encoder = get_peft_model(encoder, LoraConfig(r=8, lora_alpha=16, target_modules=names))
    return MeanPooled(encoder, width, labels)


def _arguments(job: Job, folder: str) -> Any:
    import torch
    from transformers import TrainingArguments

    best: dict[str, Any] = {}
    if job.side != "D":
        best = {
            "per_device_train_batch_size": 32,
            "per_device_eval_batch_size": 128,
            "bf16": bool(torch.cpu.get_capabilities().get("avx512_bf16", False)),
            "train_sampling_strategy": "group_by_length",
            "warmup_steps": 0.06,
            "weight_decay": 0.01,
        }
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=EPOCHS[job.mode],
        learning_rate=job.rate,
        use_cpu=True,
        eval_strategy="epoch" if job.curve else "no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=job.seed,
        **best,
    )


def main() -> None:
    """Run the job that the first argument describes, and print what came out as JSON."""
    values = json.loads(sys.argv[1])
    job = Job(**values | {"data": tuple(values["data"])})
    found = ours(job) if job.side == "ours" else theirs(job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(json.dumps(found | {"peak_mib": peak}))


if __name__ == "__main__":
    main()
