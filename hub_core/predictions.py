"""What a finished model predicted on held-out examples: ``OUT.run/predictions.TASK.jsonl``.

One line for each example: the split, what the head read, the truth, the prediction. It is not in
the artifact, because it holds data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hub_core.errors import DataError

HELD_OUT = ("test", "validation")
"""The splits whose predictions are kept, the better one first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One example with what a model predicted for it.

    Args:
        split: Where the example is from.
        input: Role to value, of what the head read.
        truth: Role to value, of what was to be predicted; empty if it is not known.
        prediction: What the head predicted.
    """

    split: str
    input: dict[str, Any]
    truth: dict[str, Any]
    prediction: dict[str, Any]


def run_folder(artifact: Path) -> Path:
    """Return the folder of the run that wrote an artifact."""
    artifact = artifact if artifact.name else artifact.resolve()
    return artifact.with_name(artifact.name + ".run")


def place(run: Path, task: str) -> Path:
    """Return where a run keeps the predictions of a task."""
    return run / f"predictions.{task}.jsonl"


def forget(run: Path) -> None:
    """Remove the predictions of a run, before the model that they are of is replaced."""
    for path in run.glob("predictions.*.jsonl"):
        path.unlink(missing_ok=True)


def write(run: Path, task: str, rows: Iterable[Judged]) -> None:
    """Write a task's predictions, as a whole or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    path = place(run, task)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        os.replace(partial, path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}",
            hint="free some disk space, or choose another folder",
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def read(run: Path, task: str) -> list[Judged]:
    """Return a task's predictions, or nothing where the run kept none.

    Raises:
        DataError: The file cannot be read, or a line is not what ``write`` writes.
    """
    path = place(run, task)
    if not path.is_file():
        return []
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return [_parsed(path, n, line) for n, line in enumerate(lines, start=1) if line]


def _parsed(path: Path, number: int, line: str) -> Judged:
    try:
        row = Judged(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        row = None
    if row is None or not all(isinstance(v, dict) for v in (row.input, row.truth, row.prediction)):
        raise DataError(
            f"{path}: line {number} is damaged", hint="train again, or evaluate with --data FILE"
        )
    return row
