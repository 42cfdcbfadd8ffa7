"""Whole models of other libraries behind the contract, served by the heads of the catalog.

Two ways: the library's own outputs are the one vector of an input, which a head hands on
unchanged; or its hidden states are, and a head's linear layer is filled from a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hub_core import catalog
from hub_core.declare import Layout, Task
from hub_core.errors import FormatError, IncompatibleError
from hub_core.identity import Identity
from hub_core.model import Backbone, Encoded, Head, TaskModel, Tokens

WEIGHT, BIAS = "output.weight", "output.bias"
"""The only parameters of a head that can serve what a library computed."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that was not made here, and its tasks: what a ``Predictor`` is made of."""

    model: TaskModel
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer: ``weight`` (C, D) and ``bias`` (C,)."""

    weight: Tensor
    bias: Tensor


class LibraryBackbone(Backbone):
    """A library's whole model; only serving is promised, parts find no layers in it.

    Args:
        model: The library's model, in eval mode.
        run: The encoded inputs, one of ``outputs_of`` and ``Encoded`` made by the caller.
        tokenize: As ``Backbone.tokenize``.
        collate: As ``Backbone.collate``.
        width: Width of the vectors that ``run`` gives.
        name: What people call the model.
    """

    tags = frozenset({"text"})
    pooling = "first"

    def __init__(
        self,
        model: nn.Module,
        run: Callable[[Mapping[str, Tensor]], Encoded],
        tokenize: Callable[[Sequence[str], Sequence[str] | None], list[Tokens]],
        collate: Callable[[Sequence[Mapping[str, Sequence[int]]]], dict[str, Tensor]],
        *,
        width: int,
        name: str = "",
    ) -> None:
        super().__init__()
        self.library = model
        self._run, self._tokenize, self._collate = run, tokenize, collate
        self.layout = Layout((), {}, "", width)
        self.identity = Identity("", "", name=name)

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Run the whole model."""
        return self._run(inputs)

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """Tokenize with the library's own tokenizer."""
        return self._tokenize(texts, pairs)

    def collate(self, inputs: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Tensor]:
        """Pad to the longest input."""
        return self._collate(inputs)


def outputs_of(scores: Tensor) -> Encoded:
    """Return scores (B, C) as the vector of one position: hidden (B, 1, C), mask (B, 1)."""
    return Encoded(scores[:, None], torch.ones(len(scores), 1, device=scores.device).long())


def serve(
    backbone: Backbone,
    method: str,
    task: Task,
    linear: Linear | None = None,
    options: Mapping[str, Any] | None = None,
) -> Opened:
    """Return a model whose head is one of the catalog's.

    Args:
        backbone: The library's model.
        method: The head's name in the catalog.
        task: The task.
        linear: The head's linear layer; None hands on the backbone's vector as it is.
        options: Options of the head.

    Raises:
        UnknownMethodError: No plugin provides the head.
        IncompatibleError: It computes more than a linear layer does.
        FormatError: The linear layer has another shape than the task needs.
        DataError: The head cannot have such a task.
    """
    provided = catalog.installed().find("head", method)
    chosen, make = provided.options(options or {}), provided.factory()
    tags = provided.method.provides
    if "scores" not in (tags(chosen) if callable(tags) else tags):
        raise _unfit(method)
    make.plan(chosen, task)
    head: Head = make(chosen, task, backbone)
    _fill(head, method, linear)
    return Opened(TaskModel(backbone, {task.name: head}).eval(), (task,))


def _fill(head: Head, method: str, linear: Linear | None) -> None:
    """Fill a head's linear layer, which must be all that it has.

    The names are a convention that a head keeps or is refused by: the contract says nothing of
    what is inside a head.
    """
    own = dict(head.named_parameters())
    if set(own) != {WEIGHT, BIAS}:
        raise _unfit(method)
    outputs, width = own[WEIGHT].shape
    if linear is None:
        linear = Linear(torch.eye(width), torch.zeros(width))
    found = list(linear.weight.shape), list(linear.bias.shape)
    if found != ([outputs, width], [outputs]):
        raise FormatError(
            f"the head's weight has shape {found[0]} and its bias {found[1]}, this model needs "
            f"{[outputs, width]} and {[outputs]}",
            hint="check the labels, and that head and model belong together",
        )
    with torch.no_grad():
        own[WEIGHT].copy_(linear.weight)
        own[BIAS].copy_(linear.bias)


def _unfit(method: str) -> IncompatibleError:
    return IncompatibleError(
        f"the head {method} is not one linear layer over a pooled text, so it cannot serve the "
        "model of another library",
        hint="choose another head",
    )
