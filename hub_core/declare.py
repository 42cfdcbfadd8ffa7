"""What a plugin declares and what the core hands to it, as plain frozen data.

Importing this module costs nothing: no torch, no pydantic. ``TAGS`` is the whole vocabulary by
which parts say what they need and what they leave true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["backbone", "head", "strategy", "compressor"]
KINDS: tuple[Kind, ...] = ("backbone", "head", "strategy", "compressor")

TAGS: Mapping[str, str] = {
    # what a backbone can do
    "text": "reads text",
    "audio": "reads audio",
    "linears": "its layers are made of linear layers",
    "layers": "is a stack of numbered layers that hand hidden states upwards",
    "attention": "its layers attend, with a key and a value per position",
    "vocabulary": "has an output layer over its vocabulary",
    "generates": "can generate token by token",
    "transformers": "is a transformers model, its modules where transformers has them",
    "pooler": "pools by a layer of its own that comes with the weights",
    # what is true of the model until a part removes it
    "float-weights": "the linear layers still hold floating-point weights",
    "plain-weights": "what a linear layer computes is the one matrix a later part sees",
    "free-heads": "attention heads and feed-forward channels may still be removed",
    "full-depth": "no layer has been removed",
    "frozen-body": "nothing in the backbone trains",
    "open-body": "parts of the backbone may be trained",
    # slots that one part can take
    "free-stages": "no part has brought its own training stages",
    "free-optimizer": "no part has brought its own optimizer",
    "free-schedule": "no part has brought its own learning-rate schedule",
    "free-sampling": "no part has chosen which task comes next",
    # what a head is
    "scores": "the head gives one vector of scores per example",
    "head-weights": "the head has weights of its own to train",
    "linear-output": "the head ends in one linear layer over one vector per example",
    "backbone-pooling": "the head pools by the backbone's own pooling layer, where that has one",
    "one-label": "the head predicts one label per example",
    "shows-attention": "the head can show how much it attends to each position",
    "single-task": "the recipe has one task",
    "several-tasks": "the recipe has two tasks or more",
}

AT_START = frozenset(
    {
        "float-weights",
        "plain-weights",
        "free-heads",
        "full-depth",
        "frozen-body",
        "open-body",
        "free-stages",
        "free-optimizer",
        "free-schedule",
        "free-sampling",
    }
)
"""Tags that hold before the first part of a recipe, whatever the backbone."""

Tags = frozenset[str] | Callable[[Any], frozenset[str]]
"""Tags, or a function of the method's options that returns them."""


def meaning(tag: str) -> str:
    """Return what a tag says; a plugin's own tag, ``plugin:tag``, is known to that plugin only."""
    plugin, _, own = tag.partition(":")
    return TAGS[tag] if not own else f"what {plugin} calls {own}"


NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PLACE = re.compile(r"\w+(\.\w+)*:\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One technique as a plugin announces it, cheap to create and to list.

    Args:
        name: Lowercase letters, digits and single hyphens, such as ``lora``.
        summary: One line of at most 72 characters.
        factory: ``module:Class``, imported on first use: a ``Part``, ``Backbone`` or ``Head``.
        options: ``module:Class`` of a model derived from ``hub_core.options.Options``.
        requires: Tags that must hold when the part's turn comes.
        provides: Tags that hold from then on.
        removes: Tags that hold no longer.
        reference: For a backbone, the option that takes a bare ``--backbone VALUE``.
        pipeline_tag: For a head, what the Hub calls its task.
        paper: Where the method comes from.

    Raises:
        ValueError: A field breaks its rule; the plugin is then listed as broken.
    """

    name: str
    summary: str
    factory: str
    options: str
    requires: Tags = frozenset()
    provides: Tags = frozenset()
    removes: Tags = frozenset()
    reference: str = ""
    pipeline_tag: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"method name {self.name!r}: use lowercase letters, digits, hyphens")
        if not self.summary or len(self.summary) > 72 or "\n" in self.summary:
            raise ValueError(f"method {self.name}: the summary must be one line of 1 to 72 letters")
        for attribute in ("factory", "options"):
            if not PLACE.fullmatch(getattr(self, attribute)):
                raise ValueError(f"method {self.name}: {attribute} must read 'module:Class'")
        for attribute in ("requires", "provides", "removes"):
            tags = getattr(self, attribute)
            if not callable(tags) and (unknown := {t for t in tags if ":" not in t} - set(TAGS)):
                raise ValueError(f"method {self.name}: unknown tags {sorted(unknown)}")


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to predict, after its data were looked at.

    Args:
        name: The task's name in the recipe.
        labels: The label names in the order of their numbers; empty where a task has none.
        columns: Role to column name, such as ``{"text": "sentence", "label": "label"}``.
    """

    name: str
    labels: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a head reads.

    Args:
        role: What the head calls it, such as ``text``.
        kind: How it is checked: ``text`` (not empty), ``label`` (one of the task's labels),
            ``labels`` (any number of the task's labels, as a list or as text), ``score`` (a
            finite number), ``tokens`` (a list of words) or ``tags`` (a list of labels, one for
            each token).
        names: Column names taken without being told, best first.
        required: Whether every data set must have it.
        target: Whether it is what is predicted; ``predict`` does not ask for it.
        separator: What stands between several ``labels`` in one text.
    """

    role: str
    kind: Literal["text", "label", "labels", "score", "tokens", "tags"]
    names: tuple[str, ...]
    required: bool = True
    target: bool = False
    separator: str = "|"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a backbone, as module paths relative to it.

    Args:
        layers: The stacked layers, bottom to top.
        linears: Path of every linear layer inside them to its role: ``query``, ``key``,
            ``value``, ``qkv``, ``attention-out``, ``up``, ``gate``, ``down`` or ``other``.
        embeddings: The input word embeddings.
        hidden: Width of the hidden states.
        positions: Longest input in tokens, or 0 where there is no bound.
        pooler: The pooling layer that comes with the weights; empty where none is loaded.
    """

    layers: tuple[str, ...]
    linears: Mapping[str, str]
    embeddings: str
    hidden: int
    positions: int = 0
    pooler: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of training with its own rate.

    Args:
        name: What ``select`` sees as ``clock.stage``.
        share: Share of the recipe's epochs in (0, 1]. Every stage has one epoch at least, so with
            fewer epochs than stages the run takes as many epochs as there are stages.
        learning_rate: Absolute base rate, or None for the recipe's.
    """

    name: str = "train"
    share: float = 1.0
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """Where training stands: optimizer steps and epochs, both counted within the stage.

    Args:
        step: Steps done in this stage, from 0.
        steps: Steps that this stage will take.
        epoch: Epochs done in this stage.
        epochs: Epochs that this stage will take.
        stage: The stage's name.
        rate: The step's learning rate, before a parameter's own factor; 0 where it is not known
            yet, such as in ``select``.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    stage: str = "train"
    rate: float = 0.0

    @property
    def progress(self) -> float:
        """Share of the stage's steps that is done, in [0, 1]."""
        return self.step / self.steps if self.steps else 1.0
