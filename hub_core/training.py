"""The training loop, the only caller of the parts' training methods.

    stages ← the part that brings some, else one stage
    timeline ← select, asked for every clock before the first step
    for stage in stages:
        for epoch in stage:
            for each step:
                for each of the batches that are accumulated:
                    batch ← next_task or step_tasks, or all tasks' batches in random order
                    loss ← the head's loss; on_loss of every part may add terms and scale them
                    backward; on_backward
                clip; on_gradients
                rate ← base · (schedule or warm-up and decay) · learning_rate of every part
                optimizer step; on_step_end
                now and then: checkpoint
            before_evaluation
            metrics ← validation
            a better metric than ever: snapshot of parameters, buffers and part states
            on_evaluation; after_evaluation
    restore the best snapshot

Every random choice comes from the seed, so a run resumed from a checkpoint goes on bit for bit
as it would have without the break (on CPU).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from hub_core.order import Order
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
    """What a run has done: total steps, this epoch's losses and logged figures, best, history."""

    total: int = 0
    best: Best = field(default_factory=Best)
    history: list[dict[str, Any]] = field(default_factory=list)
    stale: int = 0
    losses: list[float] = field(default_factory=list)
    logged: dict[str, float] = field(default_factory=dict)


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
        self.order = Order(rows, settings, self.parts)
        self.plan = plan_run(built, settings.epochs, self.order.epoch_steps)
        self.progress = Progress()
        for ctx in built.contexts:
            ctx.steps, ctx.log = self.plan.steps, self._log
        self.optimizer = optimizer_of(built, self.plan.ever, settings, device)
        kept_as = torch.bfloat16 if precision == "bf16" else torch.float32
        self._depths: dict[int, int] | None = None
        self.prefix = Prefix(
            self.model, self._all_batches, self._two_rows, kept_as, settings.cache_limit * 2**20
        )

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
        else:
            self._tell_parts_of_evaluation()
        return self.progress

    _resumed_rng: Tensor

    def _patience_is_over(self) -> bool:
        return 0 < self.settings.patience <= self.progress.stale

    def _epoch(self) -> None:
        epoch, done = divmod(self.progress.total, self.plan.epoch_steps)
        self._choose()
        start, several = self.progress.total - done, self.order.several
        batches = self.order.batches(epoch, start, self.plan)
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
        if any(part.forgets for part in self.parts):
            for parameter in self.plan.ever - chosen:
                self.optimizer.state.pop(parameter, None)
        self.optimizer.zero_grad(set_to_none=True)
        self._keep_frozen(at)
        set_modes(self.model, chosen, self.built.base | self.model.backbone.fresh)

    def _keep_frozen(self, at: int) -> None:
        """Have what lies below everything chosen so far computed once, if nothing forbids it."""
        layered = "layers" in self.model.backbone.tags and self.settings.cache_limit
        changed = any(part.changes_body for part in self.parts)
        if not layered or changed or any(self.model.head(task).reads_layers for task in self.rows):
            return
        self.model.eval()
        with self.accelerator.autocast():
            if self._depths is None:
                self._depths = depths_of(self.plan, self.prefix.depth_of)
            self.prefix.use(lasting_depth(self.plan, at, self._depths))

    def _step(self, batches: Sequence[tuple[str, Sequence[Row]]]) -> float:
        moment, value = self.plan.moment(self.progress.total), 0.0
        stage = self.plan.stages[moment.stage]
        rate = rate_at(self.parts, stage, moment.clock, self.settings)
        moment = replace(moment, clock=replace(moment.clock, rate=rate))
        clock = moment.clock
        examples = sum(len(rows) for _, rows in batches)
        for task, rows in batches:
            with told_if_memory_ends(moment.total + 1, rows):
                share = len(rows) / examples
                value += share * self._backward(task, rows, moment, share)
        if self.settings.clip:
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self.settings.clip)
        for part in self.parts:
            part.on_gradients(self.model, clock)
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

    def _backward(self, task: str, rows: Sequence[Row], moment: Moment, share: float) -> float:
        """Add a batch's gradients, by its share of the step's examples, and return its loss."""
        batch = self.model.head(task).collate(list(rows), self.model.backbone).to(self.device)
        loss = self._loss(batch, moment)
        self.accelerator.backward(loss * share)
        for part in self.parts:
            part.on_backward(self.model, batch, moment.clock)
        return float(loss.detach())

    def _loss(self, batch: Batch, moment: Moment) -> Tensor:
        head = self.model.head(batch.task)
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
        if not loss.requires_grad:
            raise TrainingError(
                f"the loss of task {batch.task} depends on nothing that trains in step "
                f"{moment.total + 1}, stage {moment.clock.stage}",
                hint="choose a strategy that trains something which this task's head uses",
            )
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
            self._tell_parts_of_evaluation()
            with self.accelerator.autocast():
                metrics = self.validate()
            entry["validation"] = {task: dict(values) for task, values in metrics.items()}
            if all(part.servable(self.model, clock) for part in self.parts):
                self._keep_best(epoch, self.score(metrics))
            flat = {f"{task}.{k}": v for task, found in metrics.items() for k, v in found.items()}
            for part in self.parts:
                part.on_evaluation(self.model, flat, clock)
            for part in reversed(self.parts):
                part.after_evaluation(self.model, clock)
        if self.progress.logged:
            entry["logged"], self.progress.logged = self.progress.logged, {}
        self.progress.history.append(entry)
        self.report("epoch", entry)

    def _log(self, name: str, value: float) -> None:
        """Take a part's figure into the entry of this epoch; the last one of a name counts."""
        self.progress.logged[name] = float(value)

    def _tell_parts_of_evaluation(self) -> None:
        clock = self.plan.moment(self.progress.total - 1).clock
        for part in self.parts:
            with torch.no_grad():
                part.before_evaluation(self.model, clock)

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
            "logged": progress.logged,
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
            dict(state.get("logged", {})),
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
