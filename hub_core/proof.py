"""The proof: a few inputs, the outputs they must give, and a fresh process that compares.

The probe is written with an artifact. ``compare`` runs it on a loaded one; saving does so in a
process of its own, with other random numbers, before anything is in its place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub_core import manifest, notes
from hub_core.errors import ArtifactError, IntegrityError
from hub_core.evaluate import Predictor, run
from hub_core.folders import write_json
from hub_core.identity import sha256_of
from hub_core.manifest import Manifest, Proof
from hub_core.model import Example, Row, TaskModel
from hub_core.state import load_tensors, save_tensors

PROBE, PROBE_JSON = "probe.safetensors", "probe.json"
PROBE_ROWS = 8
TOLERANCE = 1e-5
"""Largest accepted difference on the saving machine, as a share of the outputs' scale."""
ELSEWHERE = 1e-3
"""The same on another machine."""


def write_probe(model: TaskModel, folder: Path, probes: Mapping[str, Sequence[Example]]) -> None:
    """Write inputs without their targets, and what the model gives for them."""
    scores: dict[str, Tensor] = {}
    content = {}
    for task, examples in probes.items():
        head = model.head(task)
        targets = {column.role for column in head.columns if column.target}
        inputs = [{k: v for k, v in example.items() if k not in targets} for example in examples]
        scores[f"scores.{task}"], words = _outputs(model, task, inputs)
        content[task] = {"labels": list(head.task.labels), "inputs": inputs, "outputs": words}
    save_tensors(folder / PROBE, scores)
    write_json(folder / PROBE_JSON, content)


def _outputs(model: TaskModel, task: str, examples: Sequence[Example]) -> tuple[Tensor, list[Any]]:
    """Return a task's scores as one flat tensor of float32, and its predictions' words."""
    head = model.head(task)
    rows: list[Row] = head.features(examples, model.backbone)
    kept = run(model, task, rows)
    scores = torch.cat([torch.as_tensor(item).float().reshape(-1) for item in kept])
    return scores, [_words(prediction) for prediction in head.predict(kept, rows)]


def _words(value: Any) -> Any:
    """Return a prediction without its fractions, which the scores compare more closely."""
    if isinstance(value, Mapping):
        return {str(key): _words(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_words(item) for item in value]
    return None if isinstance(value, float) else value


@dataclass(frozen=True, slots=True)
class Check:
    """How far an artifact's outputs are from those that were saved with it.

    Args:
        rows: Probe examples compared.
        difference: Largest difference, as a share of the outputs' scale.
        same: Whether the labels, and what is predicted for every probe, are the same.
    """

    rows: int
    difference: float
    same: bool


def compare(predictor: Predictor) -> Check:
    """Run the probe of a loaded artifact and compare.

    Raises:
        IntegrityError: The probe is missing, or gives another number of outputs.
    """
    assert predictor.folder is not None
    saved = load_tensors(predictor.folder / PROBE)
    path = predictor.folder / PROBE_JSON
    worst, same, count = 0.0, True, 0
    for name, task in predictor.tasks.items():
        try:
            probe = json.loads(path.read_text("utf-8"))[name]
            labels, inputs, outputs = probe["labels"], probe["inputs"], probe["outputs"]
            before = saved[f"scores.{name}"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} has no probe of task {name}: {error}") from None
        now, words = _outputs(predictor.model, name, inputs)
        if before.shape != now.shape:
            raise IntegrityError(f"{predictor.folder}: the probe of task {name} changed its shape")
        scale = before.abs().max().clamp_min(1e-6)
        worst = max(worst, float((before - now).abs().max() / scale))
        same = same and labels == list(task.labels) and outputs == words
        count += len(inputs)
    return Check(count, worst, same)


def prove_in_fresh_process(folder: Path, place: str) -> Proof:
    """Load the artifact in a fresh process with other random numbers, and compare there."""
    [answer] = check_in_fresh_process([folder], place)
    if "error" in answer:
        raise IntegrityError(f"a fresh process cannot load what was saved: {answer['error']}")
    if not answer["difference"] <= TOLERANCE:
        raise IntegrityError(
            f"what a fresh process loads gives outputs that differ by {answer['difference']:.1e} "
            f"of their scale, accepted is {TOLERANCE:.0e}; nothing was saved",
            hint="some part does not keep all of its state: try the parts one by one",
        )
    return Proof(
        rows=answer["rows"],
        difference=answer["difference"],
        tolerance=TOLERANCE,
        elsewhere=ELSEWHERE,
    )


def sealed(folder: Path, content: Manifest, place: str, *, prove: bool) -> Manifest:
    """Write the ``hub.json`` of what lies in a folder, and prove it there if that is wanted.

    Args:
        folder: Holds everything but ``hub.json``.
        content: What it says, its files and its proof still missing.
        place: Where the backbone is, handed to the process that proves.
        prove: Load it in a fresh process and compare.

    Raises:
        IntegrityError: What a fresh process loads gives other outputs.
    """
    content = content.model_copy(update={"files": manifest.describe_files(folder), "proof": None})
    manifest.write(folder, content)
    if prove:
        proof = prove_in_fresh_process(folder, place)
        content = content.model_copy(update={"proof": proof})
        manifest.write(folder, content)
    return content


def remember(folder: Path, difference: float) -> None:
    """Note that an artifact was proven on this machine, and how far its outputs were apart."""
    notes.note(notes.PROOFS, sha256_of(folder / manifest.NAME), f"{difference:.1e}")


def check_in_fresh_process(folders: Iterable[Path], place: str = "") -> list[dict[str, Any]]:
    """Load artifacts in one new process and return its findings, one mapping for each."""
    command = [sys.executable, "-m", "hub_core.fresh", place, *map(str, folders)]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=environment, check=False
    )
    if done.returncode != 0:
        raise ArtifactError(f"the checking process failed: {done.stderr.strip()[-2000:]}")
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers
