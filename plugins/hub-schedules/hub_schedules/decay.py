"""Weight decay towards the pre-trained weights instead of zero, apart from the optimizer.

    w <- w - rate * strength * (w - w0)

after each step (Wiese et al., 2017; as a penalty L2-SP, Li et al., 2018; as weight decay the code
of Zhang et al., 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hub_core.declare import Clock
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, ParameterOptions
from hub_schedules.pretrained import OnPretrained


class PretrainedDecay(OnPretrained):
    """Pre-trained matrices that train are drawn back to where they began; biases and norms not.

    Their usual weight decay is off. What is new, such as heads and adapters, keeps it.
    """

    name: ClassVar = "pretrained-decay"
    acts_on: ClassVar = "pre-trained matrices"

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._starts: dict[nn.Parameter, Tensor] = {}
        self._scales: dict[nn.Parameter, float] = {}

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Keep the weights as they are before training."""
        if not ctx.restoring:
            matrices = (p for p in self.pretrained(model) if p.ndim > 1)
            self._starts = {p: p.detach().clone() for p in matrices}

    def reach(self, model: TaskModel) -> Chosen:
        """Return the pre-trained matrices."""
        return frozenset(self._starts)

    def optimizer_options(self, model: TaskModel) -> Mapping[nn.Parameter, ParameterOptions]:
        """Turn the usual decay of these matrices off."""
        super().optimizer_options(model)
        return dict.fromkeys(self._starts, ParameterOptions(weight_decay=0.0))

    def optimizer(self, groups: list[dict[str, Any]], ctx: Context) -> None:
        """Note at what share of the rate each matrix learns, and forget those that never train."""
        super().optimizer(groups, ctx)
        self._scales = {p: group["scale"] for group in groups for p in group["params"]}
        self._starts = {p: start for p, start in self._starts.items() if p in self._scales}

    @torch.no_grad()
    def on_step_end(self, model: TaskModel, clock: Clock) -> None:
        """Draw back what took the step."""
        for parameter, start in self._starts.items():
            if parameter.grad is not None:
                rate = clock.rate * self._scales[parameter]
                parameter.lerp_(start, rate * self.options.strength)
