"""The folder of a run, ``OUT.run``.

    checkpoint/run.json             recipe, which data, position, optimizer and part state
    checkpoint/tensors.safetensors  every tensor of it
    train.jsonl                     one line for each epoch
    lock                            held while a process trains here

A checkpoint appears as a whole. The system lets go of the lock when its process ends, however it
ends, so a killed run can be resumed at once.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub_core.errors import IntegrityError, TrainingError, listed
from hub_core.folders import is_full, new_folder, recover, write_json
from hub_core.locks import HeldError, hold
from hub_core.recipe import Recipe
from hub_core.state import join, load_tensors, save_tensors, split

DataKey = Mapping[str, Mapping[str, Any]]
"""Split to what a task's examples are told apart by, ``examples`` being their number."""

STATE: Mapping[str, type] = {
    "total": int, "history": list, "stale": int, "losses": list, "best": dict, "tensors": dict,
    "optimizer": dict, "parts": list, "rng": Tensor, "generators": list,
}  # fmt: skip
"""What a run cannot go on without, and of which kind it is."""


class Run:
    """One run's folder."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        lock: int,
        start: Mapping[str, Any] | None = None,
        data: Mapping[str, DataKey] | None = None,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self._start = start
        self._data = data or {}
        self._lock = lock
        self._before = 0.0
        self._started = time.perf_counter()

    @classmethod
    def open(
        cls,
        target: Path,
        recipe: Recipe,
        *,
        resume: bool,
        start: Mapping[str, Any] | None = None,
        data: Mapping[str, DataKey] | None = None,
    ) -> Run:
        """Take the run folder of an artifact's folder.

        Args:
            target: The artifact's folder.
            recipe: What is trained.
            resume: Go on from the checkpoint that is there.
            start: What it starts from, where that is no backbone alone.
            data: What the data are told apart by, by task.

        Raises:
            TrainingError: Another process trains there, or there is nothing to resume, or
                another recipe was trained there, or on other data.
            IntegrityError: The checkpoint is damaged.
        """
        target = target if target.name else target.resolve()
        folder = target.with_name(target.name + ".run")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            run = cls(folder, recipe, _lock(folder), start, data)
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
            changed = list(_changed(dict(before), self._comparable()))
            others = list(_other_data(stored["data"], self._data))
        except RecursionError:
            raise self._damaged("it is nested too deeply") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(error) from None
        if changed:
            raise TrainingError(
                f"{self.folder} was trained with another recipe:{listed(changed)}",
                hint="resume with the same recipe, or start again without --resume",
            )
        if others:
            raise TrainingError(
                f"{self.folder} was trained on other data:{listed(others)}",
                hint="resume with the same data, or start again without --resume",
            )
        return stored

    def _damaged(self, problem: object) -> IntegrityError:
        return IntegrityError(
            f"{self.folder / 'checkpoint' / 'run.json'} is damaged: {problem}",
            hint="start again without --resume",
        )

    def _comparable(self) -> dict[str, Any]:
        """Return what must be the same to resume: the recipe, and what it started from."""
        started = {} if self._start is None else {"start": dict(self._start)}
        return _comparable(self.recipe) | started

    def checkpoint(self) -> dict[str, Any] | None:
        """Return the state to go on from, or None where there is none."""
        if not (self.folder / "checkpoint").is_dir():
            return None
        stored = self._stored()
        tensors = load_tensors(self.folder / "checkpoint" / "tensors.safetensors")
        state = join(stored["state"], tensors)
        self._check(state)
        return {**state, "seconds": float(stored["seconds"])}

    def _check(self, state: Any) -> None:
        """Refuse what can be no state of a run before anything is built from it."""
        if not isinstance(state, dict):
            raise self._damaged("its state is no table")
        for key, kind in STATE.items():
            if not isinstance(state.get(key), kind):
                raise self._damaged(f"its state has no usable '{key}'")
        count = len(self.recipe.strategies) + len(self.recipe.compressors)
        if len(state["parts"]) != count:
            raise self._damaged("its state is not that of as many parts as the recipe has")

    def go_on(self, loop: Any, state: Mapping[str, Any]) -> None:
        """Give a loop the state that a checkpoint holds.

        Raises:
            IntegrityError: It does not fit the loop.
            TrainingError: The log cannot be written.
        """
        try:
            loop.load_state_dict(state)
            self.rewrite_log(loop.progress.history)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise self._damaged(f"its state does not fit: {error!r}") from error

    def save(self, loop: Any) -> None:
        """Write a checkpoint beside the old one, then take its place."""
        with new_folder(self.folder / "checkpoint") as partial:
            tensors: dict[str, Any] = {}
            skeleton = split(loop.state_dict(), tensors)
            save_tensors(partial / "tensors.safetensors", tensors)
            seconds = self._before + time.perf_counter() - self._started
            content = {"recipe": self._comparable(), "data": self._data, "state": skeleton,
                       "seconds": seconds}  # fmt: skip
            write_json(partial / "run.json", content)

    def rewrite_log(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Leave in ``train.jsonl`` what the checkpoint knows of, when training goes on from it."""
        self._write(history, "w")

    def log(self, figures: Mapping[str, Any]) -> None:
        """Append a line to ``train.jsonl``.

        Raises:
            TrainingError: It cannot be written, for example because the disk is full.
        """
        self._write([figures], "a")

    def _write(self, entries: Sequence[Mapping[str, Any]], mode: str) -> None:
        path = self.folder / "train.jsonl"
        try:
            with path.open(mode, encoding="utf-8") as file:
                for figures in entries:
                    file.write(json.dumps(dict(figures), sort_keys=True, ensure_ascii=False) + "\n")
        except OSError as error:
            cure = "free some disk space" if is_full(error) else f"make {path} writable"
            kept = (self.folder / "checkpoint").is_dir()
            after = "go on from the last checkpoint with --resume" if kept else "start again"
            raise TrainingError(
                f"{path} cannot be written: {error.strerror or error}", hint=f"{cure}, then {after}"
            ) from error


def _comparable(recipe: Recipe) -> dict[str, Any]:
    """Return what must be the same to resume: nothing that leaves the numbers alone."""
    values = recipe.model_dump(mode="json")
    for free in ("checkpoint_steps", "threads", "tracker"):
        values["training"].pop(free, None)
    return values


def _changed(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield what differs between two recipes, by key."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _changed(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        yield f"{where} was {json.dumps(before)}, is {json.dumps(now)}"


def _other_data(before: Mapping[str, DataKey], now: Mapping[str, DataKey]) -> Iterator[str]:
    """Yield which splits of which tasks are not the same."""
    for task in dict.fromkeys([*before, *now]):
        was, found = before.get(task, {}), now.get(task, {})
        for name in dict.fromkeys([*was, *found]):
            old, new = (keys.get(name, {"examples": 0}) for keys in (was, found))
            first, second = old["examples"], new["examples"]
            if first != second:
                yield f"task {task}, {name}: had {first:,} examples, has {second:,}"
            elif old != new:
                yield f"task {task}, {name}: has other examples, or the same in another order"


def _lock(folder: Path) -> int:
    """Take the lock and return its file descriptor; the file says whose it is."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        hold(handle)
    except HeldError:
        owner = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        who = f"process {owner}" if owner else "another process"
        raise TrainingError(
            f"{who} trains in {folder}", hint="wait for it, or choose another --out"
        ) from None
    except OSError:
        os.close(handle)
        raise
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle
