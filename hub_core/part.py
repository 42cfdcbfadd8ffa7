"""``Part``: the one base class of tuning strategies and compressors, and the context it is given.

The life of a part, in the order in which the core calls it::

    __init__ → load_state_dict (loading, resuming) → reshape → prepare
        → examples → observe                            once, where nothing is decided yet
        → stages, select, optimizer…                    asked once, before training
        → next_task, step_tasks                         asked for the steps of an epoch
        → on_loss → on_backward                         each batch
        → on_gradients → on_step_end                    each step
        → before_evaluation → on_evaluation → after_evaluation
    → finalize → report → state_dict

Every method has a working default: a part writes only what it changes. The laws that parts keep
are in docs/contract.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from hub_core.declare import Clock, Stage, Task
from hub_core.identity import Identity
from hub_core.model import Batch, Example, Output, TaskModel

if TYPE_CHECKING:
    from hub_core.evaluate import Predictor

Chosen = frozenset[nn.Parameter]


def _nothing(*_: Any) -> None:
    return None


def _no_batches(_: int) -> list[Batch]:
    raise RuntimeError("there is no data here: what depends on data must be in the part's state")


def _no_loading(reference: str) -> Predictor:
    raise RuntimeError("nothing is loaded while an artifact is restored")


@dataclass(kw_only=True)
class Context:
    """What a part may know besides the model; it grows without breaking signatures.

    Args:
        device: Where the model is.
        generator: A CPU generator fed by the recipe's seed.
        tasks: The recipe's tasks.
        restoring: An artifact is being loaded: no data, no chance, only the part's state.
        needs: Tags that later parts require of the model.
        steps: Optimizer steps that training will take; 0 where that is not known.
        batches: ``batches(n)`` gives up to n training batches for calibration.
        validation: ``validation(n)`` gives up to n validation batches; none where there are no
            validation data.
        load: ``load(reference)`` gives a trained artifact, such as a teacher.
        log: ``log(name, value)`` puts a figure into the log's entry of the epoch.
        metric: The metric that the best checkpoint is chosen by; empty for each head's own.
        empty: For backbones: build the architecture without reading weights.
        folder: For backbones: the artifact that holds configuration and tokenizer.
        identity: For backbones: the identity that must be found.
        place: For backbones: where the user says the backbone is, before any other place.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    generator: torch.Generator = field(default_factory=torch.Generator)
    tasks: tuple[Task, ...] = ()
    restoring: bool = False
    needs: frozenset[str] = frozenset()
    steps: int = 0
    batches: Callable[[int], list[Batch]] = _no_batches
    validation: Callable[[int], list[Batch]] = _no_batches
    load: Callable[[str], Predictor] = _no_loading
    log: Callable[[str, float], None] = _nothing
    metric: str = ""
    empty: bool = False
    folder: Path | None = None
    identity: Identity | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class ParameterOptions:
    """How one parameter is optimized: a factor on the rate, and its own weight decay or None."""

    scale: float = 1.0
    weight_decay: float | None = None

    def then(self, other: ParameterOptions) -> ParameterOptions:
        """Return both together: factors multiply, and the other's weight decay counts if set."""
        decay = self.weight_decay if other.weight_decay is None else other.weight_decay
        return ParameterOptions(self.scale * other.scale, decay)


@dataclass(frozen=True, slots=True)
class Portable:
    """A part's share of the model in the format of a library that can load it alone.

    Args:
        config: What goes into ``adapter_config.json``.
        names: Our tensor name to the library's.
    """

    config: Mapping[str, Any]
    names: Mapping[str, str]


@dataclass(slots=True)
class Losses:
    """The loss of a step as named terms; parts add terms and scale those that are there."""

    terms: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, float | Tensor] = field(default_factory=dict)

    def add(self, name: str, value: Tensor, weight: float | Tensor = 1.0) -> None:
        """Add a scalar term."""
        self.terms[name] = value
        self.weights[name] = weight

    def scale(self, name: str, factor: float | Tensor) -> None:
        """Multiply a term's weight, such as ``scale("task", .3)`` in distillation."""
        self.weights[name] = self.weights[name] * factor

    def total(self) -> Tensor:
        """Return the weighted sum."""
        return torch.stack([self.terms[n] * self.weights[n] for n in self.terms]).sum()


class Part:
    """A tuning strategy or a compressor.

    Args:
        options: The checked options of its method.

    Attributes:
        narrows: Whether ``select`` takes parameters away. All parts that widen are asked before
            all parts that narrow, whatever their order in the recipe.
        learning_rate_hint: The base rate to use where the recipe gives none.
        changes_body: Whether the backbone's function changes although none of its parameters is
            chosen, such as by masks or observers during training.
        needs_training: For compressors: whether it takes effect in training alone.
        forgets: Whether what the optimizer knows of a parameter is dropped when it stops training.
    """

    narrows: ClassVar[bool] = False
    learning_rate_hint: ClassVar[float | None] = None
    changes_body: ClassVar[bool] = False
    needs_training: ClassVar[bool] = False
    forgets: bool = False

    def __init__(self, options: Any) -> None:
        self.options = options

    # -- shape and build

    def reshape(self, model: TaskModel, ctx: Context) -> None:
        """Remove or shrink with ``.data``; runs for all parts before any ``prepare``."""

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Add or wrap modules."""

    def observe(self, model: TaskModel, ctx: Context) -> None:
        """Look at the training data, the model being built; what is decided must be in the state.

        Not called where the part was given its state: on loading and on resuming.
        """

    # -- train

    def stages(self, ctx: Context) -> tuple[Stage, ...]:
        """Return the stages of training; a part that brings its own removes ``free-stages``."""
        return ()

    def examples(self, examples: Sequence[Example], task: Task, ctx: Context) -> Sequence[Example]:
        """Return the training examples, augmented or replaced."""
        return examples

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Return which parameters train at a time; pure, asked for all clocks before training."""
        return chosen

    def learning_rate(self, clock: Clock) -> float:
        """Return a factor on the rate, multiplied over parts; pure."""
        return 1.0

    def schedule(self, clock: Clock) -> float | None:
        """Return the factor that replaces warm-up and decay; its part removes ``free-schedule``."""
        return None

    def optimizer_options(self, model: TaskModel) -> Mapping[nn.Parameter, ParameterOptions]:
        """Return options for some parameters; factors of several parts multiply."""
        return {}

    def optimizer(self, groups: list[dict[str, Any]], ctx: Context) -> torch.optim.Optimizer | None:
        """Return an optimizer over the groups, or None; a part with one removes ``free-optimizer``.

        The groups hold all that ever trains, each with its ``scale`` and ``weight_decay``.
        """
        return None

    def next_task(self, tasks: Sequence[str], clock: Clock) -> str | None:
        """Return which task's batch comes next; its part removes ``free-sampling``."""
        return None

    def step_tasks(self, tasks: Sequence[str], clock: Clock) -> Sequence[str]:
        """Return the tasks of which a step takes one batch each, always as many; else nothing.

        Its part removes ``free-sampling``.
        """
        return ()

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Add or scale terms of the loss."""

    def on_backward(self, model: TaskModel, batch: Batch, clock: Clock) -> None:
        """Act on the gradients after each batch; those of a step add up until clipping."""

    def on_gradients(self, model: TaskModel, clock: Clock) -> None:
        """Change gradients, after clipping, before the step."""

    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Act after the step, the gradients still being there."""

    def before_evaluation(self, model: TaskModel, clock: Clock) -> None:
        """Put the weights that would be served in place, if they are not those that train.

        They are measured, and kept if they are the best. After training it is called once more
        where there are no validation data.
        """

    def after_evaluation(self, model: TaskModel, clock: Clock) -> None:
        """Put the weights that train back in place."""

    def on_evaluation(self, model: TaskModel, metrics: Mapping[str, float], clock: Clock) -> None:
        """Decide by validation metrics; the best snapshot was taken just before."""

    def servable(self, model: TaskModel, clock: Clock) -> bool:
        """Return whether the model could be served as it is now; if not, it cannot be the best."""
        return True

    # -- finish

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Turn the trained model into the served one; leaves plain modules and parameters."""

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return figures about the finished model."""
        return {}

    def portable(self, model: TaskModel) -> Portable | None:
        """Return this part in another library's format, if what it added is all there is."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return every decision from data, chance or metrics: numbers, texts, tensors, lists."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave; called before ``reshape``."""


def created(before: Iterable[Tensor], model: nn.Module) -> frozenset[nn.Parameter]:
    """Return the model's parameters that are not among ``before``."""
    old = {id(tensor): tensor for tensor in before}  # the tensors are kept, so ids stay theirs
    return frozenset(p for p in model.parameters() if id(p) not in old)
