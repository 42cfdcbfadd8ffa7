"""Smoothness-inducing adversarial regularization, and a proximal term (Jiang et al., 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call

from hub_core.declare import Clock
from hub_core.model import Batch, Output, TaskModel
from hub_core.part import Context, Losses, Part
from hub_regularize.divergence import divergence

TINY = 1e-30
"""Keeps a gradient of zero from being divided by zero."""


class Smart(Part):
    """A small change of the input may not change the prediction.

    Equations 1 to 3: ``L + weight * l_s(f(x + d), f(x)) + proximal * l_s(f_mean(x), f(x))``, where
    l_s is the symmetrized KL, or what stands in for it where scores are no distribution, and d, of
    size ``radius`` at most in any number, is what gradient ascent finds at the word vectors.
    f_mean has an exponential average of the weights. All passes are in the mode of training, each
    with dropout of its own, as in the authors' code.
    """

    changes_body: ClassVar = True  # word vectors move, so what frozen layers give does too

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._mean: dict[str, Tensor] = {}

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Add the terms whose weight is not 0."""
        head, scores = model.head(batch.task), output.scores
        if self.options.weight:
            change = self.ascend(model, batch, scores.detach())
            with moved(model, change):
                other = model(batch).scores
            value = divergence(head, other, scores).mean()
            losses.add("smart", value, self.options.weight)
        if self.options.proximal:
            self._remember(model)
            with torch.no_grad():
                before = functional_call(model, self._mean, (batch,)).scores
            value = divergence(head, scores, before).mean()
            losses.add("smart proximal", value, self.options.proximal)

    def ascend(self, model: TaskModel, batch: Batch, scores: Tensor) -> Tensor:
        """Return the change of the word vectors that changes scores most, (B, T, E).

        Algorithm 1: from noise, steps along the gradient over its largest entry in each token's
        vector, each followed by a projection onto ``[-radius, radius]``.

        Args:
            model: The model.
            batch: A batch.
            scores: What it gives for the batch, (B, C), detached.
        """
        head, options = model.head(batch.task), self.options
        with moved(model, None) as seen, torch.no_grad():
            model.encode(batch)
        change = project(options.noise * torch.randn_like(seen[0]), options.radius)
        for _ in range(options.steps):
            change.requires_grad_()
            with moved(model, change):
                value = divergence(head, model(batch).scores, scores).sum()
            (slope,) = torch.autograd.grad(value, change)
            slope = slope / slope.abs().amax(-1, keepdim=True).clamp_min(TINY)
            change = project(change.detach() + options.step_size * slope, options.radius)
        return change

    def _remember(self, model: TaskModel) -> None:
        """Let the average begin, for what begins to train, at what it is before its first step."""
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and name not in self._mean:
                self._mean[name] = parameter.detach().clone()

    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Move the average: ``mean <- decay * mean + (1 - decay) * weights``."""
        for name, mean in self._mean.items():
            mean.lerp_(model.get_parameter(name).detach(), 1 - self.options.decay)

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Forget the average, which serves training only."""
        self._mean = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"mean": {name: mean.clone() for name, mean in self._mean.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the average back."""
        self._mean = {name: mean.clone() for name, mean in state["mean"].items()}


def project(change: Tensor, radius: float) -> Tensor:
    """Return the nearest change with no number beyond ``radius``."""
    return change.clamp(-radius, radius)


@contextmanager
def moved(model: TaskModel, change: Tensor | None) -> Iterator[list[Tensor]]:
    """Add a change to the word vectors for as long as this lasts; what they were is gathered.

    Args:
        model: The model.
        change: What is added, (B, T, E), or None.
    """
    seen: list[Tensor] = []

    def hook(_: Any, __: Any, vectors: Tensor) -> Tensor:
        seen.append(vectors)
        return vectors if change is None else vectors + change.to(vectors.dtype)

    words = model.get_submodule(f"backbone.{model.backbone.layout.embeddings}")
    handle = words.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()
