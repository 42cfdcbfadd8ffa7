"""The training loop, the only caller of the parts' training methods.

    stages ← the part that brings some, else one stage
    timeline ← select, asked for every clock before the first step
    for stage in stages:
        for epoch in stage:
            for each step:
                for each of the batches that are accumulated:
                    batch ← next_task, or all tasks' batches in random order
                    loss ← the head's loss; on_loss of every part may add terms and scale them
                    backward
                clip; on_gradients
                rate ← base · (schedule or warm-up and decay) · learning_rate of every part
                optimizer step; on_step_end
                now and then: checkpoint
            metrics ← validation
            a better metric than ever: snapshot of parameters, buffers and part states
            on_evaluation
    restore the best snapshot

Every random choice comes from the seed, so a run resumed from a checkpoint goes on bit for bit
as it would have without the break (on CPU).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hub_core.build import Built
from hub_core.data import batch_numbers, batches_of
from hub_core.devices import accelerator_for, choose_precision, compiled
from hub_core.errors import TrainingError
from hub_core.memory import recomputed, told_if_memory_ends
from hub_core.model import Batch, Row, tensors_of
from hub_core.modes import set_modes
from hub_core.optimizing import optimizer_of, rate_at
from hub_core.part import Losses
from hub_core.prefix import Prefix, depths_of, lasting_depth
from hub_core.recipe import Training
from hub_core.timeline import Moment, plan_run

Metrics = Mapping[str, Mapping[str, float]]
"""Task name to metric name to value."""


@dataclass(slots=True)
class Best:
    """The best evaluation so far, and everything that came with it."""

    score: float = -math.inf
    epoch: int = -1
    tensors: dict[str, Tensor] = field(default_factory=dict)
    states: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Progress:
    """What a run has done: total steps, the losses of this epoch, the best, the history."""

    total: int = 0
    best: Best = field(default_factory=Best)
    history: list[dict[str, Any]] = field(default_factory=list)
    stale: int = 0
    losses: list[float] = field(default_factory=list)


Report = Callable[[str, Mapping[str, Any]], None]
"""Told of ``step``, ``epoch`` and ``stop`` with their figures."""


class Loop:
    """One training run over an assembled model.

    Args:
        built: The model and its parts.
        rows: Training rows by task.
        settings: The recipe's training section.
        validate: Returns validation metrics by task, or None where there is no validation data.
        score: Returns the number that the best snapshot is chosen by.
        report: Told what happens.
        checkpoint: Called with the loop when a checkpoint is due.
        interrupted: Asked after every step whether to save a checkpoint and stop.
        watched: The rows that ``validate`` encodes, by task; they are kept like training rows.
    """

    def __init__(
        self,
        built: Built,
        rows: Mapping[str, Sequence[Row]],
        settings: Training,
        *,
        validate: Callable[[], Metrics] | None = None,
        score: Callable[[Metrics], float] = lambda _: 0.0,
        report: Report = lambda *_: None,
        checkpoint: Callable[[Loop], None] | None = None,
        interrupted: Callable[[], bool] = lambda: False,
        watched: Mapping[str, Sequence[Row]] | None = None,
    ) -> None:
        self.built, self.rows, self.settings = built, rows, settings
        self.validate, self.score, self.report = validate, score, report
        self.checkpoint, self.interrupted = checkpoint, interrupted
        self.watched = watched or {}
        self.model, self.parts = built.model, built.parts
        device = (
            built.contexts[0].device if built.contexts else next(self.model.parameters()).device
        )
        precision = choose_precision(settings.precision, device)
        self.accelerator = accelerator_for(device, "bf16" if precision == "bf16" else "no")
        if self.accelerator.num_processes > 1:
            raise TrainingError(
                "training in several processes is not supported", hint="start a single process"
            )
        self.device = device
        batches = sum(map(len, self._batches(0).values()))
        self.plan = plan_run(built, settings.epochs, math.ceil(batches / settings.accumulate))
        for ctx in built.contexts:
            ctx.steps = self.plan.steps
        self.progress = Progress()
        self.optimizer = optimizer_of(built, self.plan.ever, settings, device)
        kept_as = torch.bfloat16 if precision == "bf16" else torch.float32
        self._depths: dict[int, int] | None = None
        self.prefix = Prefix(
            self.model, self._all_batches, self._two_rows, kept_as, settings.cache_limit * 2**20
        )

    # -- what goes in

    def _generator(self, *numbers: int) -> torch.Generator:
        mixed = random.Random(repr((self.settings.seed, *numbers))).getrandbits(63)
        return torch.Generator().manual_seed(mixed)

    def _batches(self, epoch: int) -> dict[str, list[Sequence[Row]]]:
        tokens, most = self.settings.batch_tokens, self.settings.batch_examples
        return {
            task: batches_of(rows, tokens, most, self._generator(epoch, number))
            for number, (task, rows) in enumerate(self.rows.items())
        }

    def _all_batches(self) -> Iterator[Batch]:
        """Yield everything that will be encoded, in the same order whenever it is asked."""
        for name, rows in (*self.rows.items(), *self.watched.items()):
            head = self.model.head(name)
            for part in batches_of(rows, 4 * self.settings.batch_tokens, 128):
                yield head.collate(list(part), self.model.backbone).to(self.device)

    def _two_rows(self) -> Batch:
        """Return a batch of the shortest and the longest row of a task."""
        name, rows = next(iter(self.rows.items()))
        order = batch_numbers(rows, 1, 1)
        pair = [rows[order[0][0]], rows[order[-1][0]]]
        return self.model.head(name).collate(pair, self.model.backbone).to(self.device)

    def epoch_batches(self, epoch: int, start: int) -> list[tuple[str, Sequence[Row]]]:
        """Return an epoch's batches in order, whichever step of it comes next.

        Args:
            epoch: Number of the epoch over all stages.
            start: Total steps before the epoch.
        """
        batches = self._batches(epoch)
        order = [task for task, found in batches.items() for _ in found]
        mixed = torch.randperm(len(order), generator=self._generator(epoch, -1)).tolist()
        sequence = [order[index] for index in mixed]
        tasks = list(batches)
        for offset in range(len(sequence)):
            clock = self.plan.moment(start + offset // self.settings.accumulate).clock
            asked = (part.next_task(tasks, clock) for part in self.parts)
            sequence[offset] = next((task for task in asked if task), sequence[offset])
        taken = dict.fromkeys(batches, 0)
        result = []
        for task in sequence:
            result.append((task, batches[task][taken[task] % len(batches[task])]))
            taken[task] += 1
        return result

    # -- the run

    def run(self) -> Progress:
        """Train from where ``progress`` stands to the end, and restore the best snapshot.

        Raises:
            TrainingError: The loss is not a number.
        """
        torch_state = torch.get_rng_state()
        if self.progress.total == 0:
            torch.manual_seed(self.settings.seed)
        else:
            torch.set_rng_state(self._resumed_rng)
        self.model.shortcut = self.prefix.encode
        try:
            with (
                recomputed(self.model, self.settings.gradient_checkpointing),
                compiled(self.model, self.settings.compile),
            ):
                while self.progress.total < self.plan.steps and not self._patience_is_over():
                    self._epoch()
                    if self.interrupted():
                        raise KeyboardInterrupt
        finally:
            torch.set_rng_state(torch_state)
            self.model.shortcut = None
            self.prefix.close()
        self.built.check_unchanged()
        if self.progress.best.epoch >= 0:
            self._restore(self.progress.best)
        return self.progress

    _resumed_rng: Tensor

    def _patience_is_over(self) -> bool:
        return 0 < self.settings.patience <= self.progress.stale

    def _epoch(self) -> None:
        epoch, done = divmod(self.progress.total, self.plan.epoch_steps)
        self._choose()
        start, several = self.progress.total - done, self.settings.accumulate
        batches = self.epoch_batches(epoch, start)
        self.prefix.new_epoch()
        for first in range(done * several, len(batches), several):
            if self.progress.total in self.plan.changes:
                self._choose()
            self.progress.losses.append(self._step(batches[first : first + several]))
            self._after_step()
        self._evaluate(epoch)
        if self.checkpoint:  # after the evaluation, which a resumed run must not miss
            self.checkpoint(self)

    def _after_step(self) -> None:
        """Write a checkpoint inside of an epoch where one is due, or where the run must stop."""
        every, total = self.settings.checkpoint_steps, self.progress.total
        stop = self.interrupted()
        due = stop or (every and total % every == 0)
        if due and self.checkpoint and total % self.plan.epoch_steps:
            self.checkpoint(self)
        if stop and total % self.plan.epoch_steps:  # else after the evaluation
            raise KeyboardInterrupt

    def _choose(self) -> None:
        """Make what the plan says trainable now, and everything else frozen."""
        at = max(step for step in self.plan.changes if step <= self.progress.total)
        chosen = self.plan.changes[at]
        for parameter in self.built.names:
            parameter.requires_grad_(parameter in chosen)
        self.optimizer.zero_grad(set_to_none=True)
        self._keep_frozen(at)
        set_modes(self.model, chosen, self.built.base | self.model.backbone.fresh)

    def _keep_frozen(self, at: int) -> None:
        """Have what lies below everything chosen so far computed once, if nothing forbids it."""
        layered = "layers" in self.model.backbone.tags and self.settings.cache_limit
        if not layered or any(part.changes_body for part in self.parts):
            return
        self.model.eval()
        with self.accelerator.autocast():
            if self._depths is None:
                self._depths = depths_of(self.plan, self.prefix.depth_of)
            self.prefix.use(lasting_depth(self.plan, at, self._depths))

    def _step(self, batches: Sequence[tuple[str, Sequence[Row]]]) -> float:
        moment = self.plan.moment(self.progress.total)
        clock, value = moment.clock, 0.0
        examples = sum(len(rows) for _, rows in batches)
        for task, rows in batches:
            with told_if_memory_ends(moment.total + 1, rows):
                loss = self._loss(task, rows, moment)
                share = len(rows) / examples
                self.accelerator.backward(loss * share)
            value += float(loss.detach()) * share
        if self.settings.clip:
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self.settings.clip)
        for part in self.parts:
            part.on_gradients(self.model, clock)
        rate = rate_at(self.parts, self.plan.stages[moment.stage], clock, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        self.optimizer.step()
        for part in self.parts:
            part.on_step_end(self.model, clock)
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.total += 1
        self.report("step", {"step": self.progress.total, "steps": self.plan.steps, "loss": value,
                             "rate": rate, "stage": clock.stage, "task": task})  # fmt: skip
        return value

    def _loss(self, task: str, rows: Sequence[Row], moment: Moment) -> Tensor:
        head = self.model.head(task)
        batch = head.collate(list(rows), self.model.backbone).to(self.device)
        with self.accelerator.autocast():
            output = self.model(batch)
            losses = Losses()
            losses.add("task", head.loss(output.scores, batch).float().mean())
            for part in self.parts:
                part.on_loss(self.model, batch, output, losses, moment.clock)
        loss = losses.total()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._not_finite(value, moment, batch)
        return loss

    def _not_finite(self, value: float, moment: Moment, batch: Batch) -> TrainingError:
        numbers = ", ".join(str(row.index + 1) for row in batch.rows[:8])
        return TrainingError(
            f"the loss became {value} in step {moment.total + 1} of task {batch.task} "
            f"(training examples {numbers}{', …' if len(batch.rows) > 8 else ''})",
            hint="lower training.learning_rate, or use --precision fp32",
        )

    def _evaluate(self, epoch: int) -> None:
        losses, self.progress.losses = self.progress.losses, []
        clock = self.plan.moment(self.progress.total - 1).clock
        entry: dict[str, Any] = {"epoch": epoch + 1, "epochs": sum(self.plan.epochs),
                                 "stage": clock.stage, "step": self.progress.total}  # fmt: skip
        entry["loss"] = sum(losses) / len(losses)
        if self.validate is not None:
            with self.accelerator.autocast():
                metrics = self.validate()
            entry["validation"] = {task: dict(values) for task, values in metrics.items()}
            if all(part.servable(self.model, clock) for part in self.parts):
                self._keep_best(epoch, self.score(metrics))
            flat = {f"{task}.{k}": v for task, found in metrics.items() for k, v in found.items()}
            for part in self.parts:
                part.on_evaluation(self.model, flat, clock)
        self.progress.history.append(entry)
        self.report("epoch", entry)

    def _keep_best(self, epoch: int, score: float) -> None:
        """Take a snapshot if this is the best; before on_evaluation, which may widen a range."""
        if score > self.progress.best.score:
            tensors = {n: t.detach().clone() for n, t in self.built.delta(self.plan.ever).items()}
            self.progress.best = Best(score, epoch, tensors, self.built.part_states())
            self.progress.stale = 0
        else:
            self.progress.stale += 1

    def _restore(self, best: Best) -> None:
        fill(self.model, best.tensors)
        for part, state in zip(self.parts, best.states, strict=True):
            part.load_state_dict(state)

    # -- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return all that a run needs to go on exactly as it would have."""
        best, progress = self.progress.best, self.progress
        return {
            "total": progress.total,
            "history": progress.history,
            "stale": progress.stale,
            "losses": progress.losses,
            "best": {"score": best.score if best.states or best.tensors else None,
                     "epoch": best.epoch, "tensors": best.tensors, "states": best.states},
            "tensors": self.built.delta(self.plan.ever),
            "optimizer": self.optimizer.state_dict(),
            "parts": self.built.part_states(),
            "rng": torch.get_rng_state(),
            "generators": [ctx.generator.get_state() for ctx in self.built.contexts],
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave; the parts had their state before ``assemble``."""
        best = state["best"]
        score = -math.inf if best["score"] is None else best["score"]
        self.progress = Progress(
            state["total"],
            Best(score, best["epoch"], dict(best["tensors"]), list(best["states"])),
            list(state["history"]),
            state["stale"],
            list(state["losses"]),
        )
        fill(self.model, state["tensors"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._resumed_rng = state["rng"]
        for ctx, saved in zip(self.built.contexts, state["generators"], strict=True):
            ctx.generator.set_state(saved)


def fill(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into the parameters and buffers of the same names, in place."""
    known = tensors_of(model)
    with torch.no_grad():
        for name, tensor in tensors.items():
            known[name].copy_(tensor)
