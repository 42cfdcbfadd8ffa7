"""Linear probing, then fine-tuning (Kumar et al., 2022)."""

from __future__ import annotations

from typing import ClassVar

from hub_basics.probe import PROBE, opened, probed_stages
from hub_core.declare import Clock, Stage
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part


class LpFt(Part):
    """First the head on frozen features, then everything from that head, more slowly.

    A random head sends large gradients into the encoder while it is being learned, and these
    distort features that were good already; after the probe they are small. Whatever other parts
    open trains in the second stage; if none does, all of the encoder.
    """

    narrows: ClassVar = True
    learning_rate_hint: ClassVar = 1e-4

    def stages(self, ctx: Context) -> tuple[Stage, ...]:
        """Return the probe's stage with its own rate, then that of everything."""
        return probed_stages(self.options, "tune")

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Keep the heads in the probe; afterwards what is chosen, or everything."""
        if clock.stage == PROBE:
            return chosen & model.head_parameters()
        return chosen | opened(model, chosen)

    def learning_rate(self, clock: Clock) -> float:
        """Return the factor of the second stage."""
        return 1.0 if clock.stage == PROBE else float(self.options.rate_factor)
