"""Consistency of two predictions under different dropout (Wu et al., 2021)."""

from __future__ import annotations

from hub_core.declare import Clock
from hub_core.model import Batch, Output, TaskModel
from hub_core.part import Losses, Part
from hub_regularize.divergence import divergence


class RDrop(Part):
    """Every batch goes through the model twice, and both predictions must agree.

    Equation 3 of the paper, with the loss as the mean of both passes, so that rates need no
    change: ``(L_1 + L_2) / 2 + weight * (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2``; for scores that
    are no distribution, see ``divergence``.
    """

    def on_loss(
        self, model: TaskModel, batch: Batch, output: Output, losses: Losses, clock: Clock
    ) -> None:
        """Average the task's loss over both passes, and add what they differ by."""
        head, again = model.head(batch.task), model(batch).scores
        second = head.loss(again, batch).float().mean()
        losses.terms["task"] = (losses.terms["task"] + second) / 2  # its weight is not ours
        value = divergence(head, output.scores, again).mean() / 2
        losses.add("r-drop", value, self.options.weight)
