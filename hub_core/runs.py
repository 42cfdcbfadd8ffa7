"""The folder of a run, ``OUT.run``: checkpoints that appear as a whole, the log, and a lock.

    checkpoint/run.json             recipe, position, optimizer and part state without tensors
    checkpoint/tensors.safetensors  every tensor of it
    train.jsonl                     one line for each epoch
    lock                            held while a process trains here
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_core.errors import IntegrityError, TrainingError
from hub_core.recipe import Recipe
from hub_core.state import join, load_tensors, new_folder, save_tensors, split, write_json


class Run:
    """One run's folder."""

    def __init__(self, folder: Path, recipe: Recipe, seconds: float) -> None:
        self.folder = folder
        self.recipe = recipe
        self._before = seconds
        self._started = time.perf_counter()

    @classmethod
    def open(cls, target: Path, recipe: Recipe, *, resume: bool) -> Run:
        """Take the run folder of an artifact's folder.

        Raises:
            TrainingError: Another process trains there, or there is nothing to resume, or
                another recipe was trained there.
        """
        folder = target.with_name(target.name + ".run")
        folder.mkdir(parents=True, exist_ok=True)
        _lock(folder)
        try:
            run = cls(folder, recipe, 0.0)
            if resume:
                run._before = run._stored()["seconds"]
            else:
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)
                (folder / "train.jsonl").unlink(missing_ok=True)
            return run
        except BaseException:
            _unlock(folder)
            raise

    def close(self) -> None:
        """Let others train here."""
        _unlock(self.folder)

    def _stored(self) -> dict[str, Any]:
        path = self.folder / "checkpoint" / "run.json"
        if not path.is_file():
            raise TrainingError(
                f"{self.folder} holds no checkpoint", hint="start again without --resume"
            )
        try:
            stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise IntegrityError(f"{path} is damaged: {error}") from None
        if stored["recipe"] != _comparable(self.recipe):
            raise TrainingError(
                f"{self.folder} was trained with another recipe",
                hint="resume with the same recipe, or start again without --resume",
            )
        return stored

    def checkpoint(self) -> dict[str, Any] | None:
        """Return the state to go on from, or None where there is none."""
        if not (self.folder / "checkpoint").is_dir():
            return None
        stored = self._stored()
        tensors = load_tensors(self.folder / "checkpoint" / "tensors.safetensors")
        state: dict[str, Any] = join(stored["state"], tensors)
        return state | {"seconds": stored["seconds"]}

    def save(self, loop: Any) -> None:
        """Write a checkpoint beside the old one, then take its place."""
        with new_folder(self.folder / "checkpoint") as partial:
            tensors: dict[str, Any] = {}
            skeleton = split(loop.state_dict(), tensors)
            save_tensors(partial / "tensors.safetensors", tensors)
            seconds = self._before + time.perf_counter() - self._started
            content = {"recipe": _comparable(self.recipe), "state": skeleton, "seconds": seconds}
            write_json(partial / "run.json", content)

    def log(self, figures: Mapping[str, Any]) -> None:
        """Append a line to ``train.jsonl``."""
        with (self.folder / "train.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(figures), ensure_ascii=False) + "\n")


def _comparable(recipe: Recipe) -> dict[str, Any]:
    """Return what must be the same to resume: not where or how often checkpoints are written."""
    values = recipe.model_dump(mode="json")
    for free in ("checkpoint_steps", "threads"):
        values["training"].pop(free)
    return values


def _lock(folder: Path) -> None:
    path = folder / "lock"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        owner = path.read_text("utf-8").strip()
        if _alive(owner):
            raise TrainingError(
                f"process {owner} trains in {folder}", hint="wait for it, or choose another --out"
            ) from None
        path.unlink(missing_ok=True)  # its process was killed
        _lock(folder)
        return
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(str(os.getpid()))


def _unlock(folder: Path) -> None:
    (folder / "lock").unlink(missing_ok=True)


def _alive(owner: str) -> bool:
    if not owner.isdigit() or int(owner) == os.getpid():
        return owner.isdigit() and int(owner) == os.getpid()
    import psutil

    return bool(psutil.pid_exists(int(owner)))
