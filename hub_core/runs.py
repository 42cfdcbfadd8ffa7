"""The folder of a run, ``OUT.run``.

    checkpoint/run.json             recipe, position, optimizer and part state without tensors
    checkpoint/tensors.safetensors  every tensor of it
    train.jsonl                     one line for each epoch
    lock                            held while a process trains here

A checkpoint appears as a whole. The system lets go of the lock when its process ends, however it
ends, so a killed run can be resumed at once.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_core.errors import IntegrityError, TrainingError, listed
from hub_core.recipe import Recipe
from hub_core.state import (
    join,
    load_tensors,
    new_folder,
    recover,
    save_tensors,
    split,
    write_json,
)


class Run:
    """One run's folder."""

    def __init__(self, folder: Path, recipe: Recipe, lock: int) -> None:
        self.folder = folder
        self.recipe = recipe
        self._lock = lock
        self._before = 0.0
        self._started = time.perf_counter()

    @classmethod
    def open(cls, target: Path, recipe: Recipe, *, resume: bool) -> Run:
        """Take the run folder of an artifact's folder.

        Raises:
            TrainingError: Another process trains there, or there is nothing to resume, or
                another recipe was trained there.
        """
        target = target if target.name else target.resolve()
        folder = target.with_name(target.name + ".run")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            run = cls(folder, recipe, _lock(folder))
        except OSError as error:
            raise TrainingError(
                f"{folder} cannot be written: {error.strerror}", hint="choose another --out"
            ) from None
        try:
            recover(target)
            recover(folder / "checkpoint")
            if resume:
                run._before = run._stored()["seconds"]
            else:
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)
                (folder / "train.jsonl").unlink(missing_ok=True)
            return run
        except BaseException:
            run.close()
            raise

    def close(self) -> None:
        """Let others train here."""
        if self._lock >= 0:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = -1

    def _stored(self) -> dict[str, Any]:
        path = self.folder / "checkpoint" / "run.json"
        if not path.is_file():
            raise TrainingError(
                f"{self.folder} holds no checkpoint", hint="start again without --resume"
            )
        try:
            stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
            before, _, _ = stored["recipe"], stored["state"], float(stored["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"{path} is damaged: {error}", hint="start again without --resume"
            ) from None
        if changed := list(_changed(before, _comparable(self.recipe))):
            raise TrainingError(
                f"{self.folder} was trained with another recipe:{listed(changed)}",
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

    def rewrite_log(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Leave in ``train.jsonl`` what the checkpoint knows of, when training goes on from it."""
        (self.folder / "train.jsonl").unlink(missing_ok=True)
        for figures in history:
            self.log(figures)

    def log(self, figures: Mapping[str, Any]) -> None:
        """Append a line to ``train.jsonl``."""
        with (self.folder / "train.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(figures), sort_keys=True, ensure_ascii=False) + "\n")


def _comparable(recipe: Recipe) -> dict[str, Any]:
    """Return what must be the same to resume: not where or how often checkpoints are written."""
    values = recipe.model_dump(mode="json")
    for free in ("checkpoint_steps", "threads"):
        values["training"].pop(free)
    return values


def _changed(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield what differs between two recipes, by key."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _changed(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        yield f"{where} was {json.dumps(before)}, is {json.dumps(now)}"


def _lock(folder: Path) -> int:
    """Take the lock and return its file descriptor; the file says whose it is."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _hold(handle)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP):
            return handle  # a file system without locks
        owner = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        who = f"process {owner}" if owner else "another process"
        raise TrainingError(
            f"{who} trains in {folder}", hint="wait for it, or choose another --out"
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def _hold(handle: int) -> None:
    """Lock an open file against all others, or fail at once."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, 2**20, os.SEEK_SET)  # far behind what others must be able to read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
