"""ULMFiT: gradual unfreezing, discriminative and slanted rates (Howard and Ruder, 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, ParameterOptions, Part
from hub_schedules.blocks import Blocks, blocks_of

Group = dict[str, Chosen]
"""What thaws together: the name of each layer, or of the embeddings, to its parameters."""


class GradualUnfreezing(Part):
    """The head trains first; then layers thaw from the top down, the embeddings last.

    What has thawed is never frozen again (section 3.3). Whatever other parts open thaws with the
    layer that it is in; if they open nothing in any layer, all of the backbone.
    """

    narrows: ClassVar = True
    learning_rate_hint: ClassVar = 2e-4

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._blocks: Blocks | None = None
        self._thawed_at: dict[str, int] = {}

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Take away what has not thawed yet.

        Raises:
            IncompatibleError: Some of it would not thaw before training ends.
        """
        if self._blocks is None:
            self._blocks = blocks_of(model)
        chosen = self._blocks.opened(chosen)
        groups = self._groups(self._blocks, chosen)
        # with no head to train, the first group trains from the start
        first = 1 if chosen & self._blocks.always else 0
        starts = self._starts(range(first, first + len(groups)), clock)
        times = list(zip(groups, starts, strict=True))
        self._thawed_at = {name: start for group, start in times for name in group}
        frozen = (names.values() for names, start in times if start > clock.step)
        return chosen.difference(*(parameters for values in frozen for parameters in values))

    def _groups(self, blocks: Blocks, chosen: Chosen) -> list[Group]:
        """Return what thaws together, top down, without what is not chosen."""
        found = {f"layer_{n}": layer & chosen for n, layer in enumerate(blocks.layers)}
        names = [name for name in reversed(found) if found[name]]
        size = self.options.layers_at_once
        groups = [
            {name: found[name] for name in names[start : start + size]}
            for start in range(0, len(names), size)
        ]
        groups[0]["after_layers"] = blocks.after & chosen
        if embeddings := blocks.inputs & chosen:
            groups.append({"embeddings": embeddings})
        return [{name: some for name, some in group.items() if some} for group in groups]

    def _starts(self, turns: range, clock: Clock) -> list[int]:
        """Return the step from which each group trains."""
        if not self.options.every:
            gap = self.options.over * clock.steps / max(1, turns[-1])
            return [int(turn * gap) for turn in turns]
        if turns[-1] * self.options.every >= clock.epochs:
            raise self._too_long(turns, clock)
        gap = self.options.every * clock.steps / clock.epochs
        return [int(turn * gap + 1e-6) for turn in turns]

    def _too_long(self, turns: range, clock: Clock) -> IncompatibleError:
        needed = int(turns[-1] * self.options.every) + 1
        return IncompatibleError(
            f"gradual-unfreezing: with every = {self.options.every:g} the last of its {len(turns)} "
            f"groups thaws in epoch {needed}, but training has {clock.epochs}",
            hint=f"train for {needed} epochs or more, raise layers_at_once, lower every, or leave "
            "it out: then everything thaws within a share of the run",
        )

    def optimizer_options(self, model: TaskModel) -> Mapping[nn.Parameter, ParameterOptions]:
        """Return each layer's factor on the rate: that of what lies above it, over ``decay``.

        The head has the full rate, and the embeddings are the lowest layer.
        """
        if self.options.decay == 1:
            return {}
        blocks = blocks_of(model)
        falling = [blocks.layers[-1] | blocks.after, *reversed(blocks.layers[:-1]), blocks.inputs]
        return {
            parameter: ParameterOptions(scale=self.options.decay**-depth)
            for depth, block in enumerate(falling, 1)
            for parameter in block
        }

    def schedule(self, clock: Clock) -> float | None:
        """Return the slanted triangle, (1 + p (ratio - 1)) / ratio (equation 3).

        p rises to 1 in the first steps, a share ``cut`` of all, and falls to 0 in the others.
        """
        if self.options.schedule == "usual":
            return None
        turn = int(self.options.cut * clock.steps)
        if clock.step < turn:
            p = clock.step / turn
        else:
            p = 1 - (clock.step - turn) / (clock.steps - turn)
        ratio: float = self.options.ratio
        return (1 + p * (ratio - 1)) / ratio

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return the step from which each layer trained, counted from 0."""
        return {f"{name}_from_step": start for name, start in self._thawed_at.items()}
