"""The encoder trains under a head that is frozen: a trained probe, or orthogonal rows."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from hub_basics.orthogonal import orthogonal_rows, simplex_rows
from hub_basics.probe import PROBE, opened, probed_stages
from hub_core.declare import Clock, Stage
from hub_core.errors import IncompatibleError
from hub_core.model import Head, TaskModel
from hub_core.part import Chosen, Context, Part


class EncoderOnly(Part):
    """First the head on frozen features, then the encoder under the frozen head.

    Training a head first keeps the encoder's features from being distorted by a random head
    (Kumar et al., 2022). With ``head = "orthogonal"`` there is no probe: the head's rows are fixed
    in advance, as far from each other as they can be (Yang et al., 2022). Whatever other parts
    open trains; if none does, all of the encoder.
    """

    narrows: ClassVar = True
    learning_rate_hint: ClassVar = 1e-4

    @property
    def _fixed(self) -> bool:
        return bool(self.options.head == "orthogonal")

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Refuse a head with more outputs than there can be orthogonal rows."""
        if not self._fixed:
            return
        for name in model.heads:
            output = _output(model, name)
            if output.out_features > output.in_features:
                raise IncompatibleError(
                    f"encoder-only: the head of task {name} has {output.out_features} outputs over "
                    f"{output.in_features} numbers, and no more rows than that can be orthogonal",
                    hint='use head = "probe"',
                )

    def observe(self, model: TaskModel, ctx: Context) -> None:
        """Draw the orthogonal head; one that an artifact or a checkpoint holds is kept."""
        if not self._fixed:
            return
        for name in model.heads:
            output, make = _output(model, name), orthogonal_rows
            if _one_label(model.head(name)):
                make = simplex_rows
            rows = make(output.out_features, output.in_features, ctx.generator)
            with torch.no_grad():
                output.weight.copy_(self.options.scale * rows)
                if output.bias is not None:
                    output.bias.zero_()

    def stages(self, ctx: Context) -> tuple[Stage, ...]:
        """Return the probe's stage, then the encoder's; nothing of its own without a probe."""
        return () if self._fixed else probed_stages(self.options, "encoder")

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Keep the heads in the probe; otherwise everything but the heads."""
        if not self._fixed and clock.stage == PROBE:
            return chosen & model.head_parameters()
        return opened(model, chosen)


def _output(model: TaskModel, task: str) -> nn.Linear:
    """Return the linear layer in which a head ends, under whatever was put around it."""
    found = model.innermost(f"heads.{task}.output")
    assert isinstance(found, nn.Linear)  # the tag linear-output says so
    return found


def _one_label(head: Head) -> bool:
    return any(c.target and c.kind == "label" for c in head.reads(head.options))
