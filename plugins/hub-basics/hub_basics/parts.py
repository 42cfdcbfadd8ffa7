"""Which of the pre-trained weights train: all, none, all after a probe, or the highest layers."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from hub_core.declare import Clock, Stage
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part

PROBE, TUNE = "probe", "encoder"


class Full(Part):
    """Everything trains (Devlin et al., 2019)."""

    learning_rate_hint: ClassVar = 1e-4

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add all parameters."""
        return frozenset(model.parameters())


class HeadOnly(Part):
    """Only what trains anyway: the head (linear probing; Alain and Bengio, 2016)."""

    learning_rate_hint: ClassVar = 1e-2


class EncoderOnly(Part):
    """First the head on frozen features, then the encoder under the frozen head.

    Training a head first keeps the encoder's features from being distorted by a random head
    (Kumar et al., 2022). Whatever other parts open trains in the second stage; if none does, all
    of the encoder.
    """

    narrows: ClassVar = True
    learning_rate_hint: ClassVar = 1e-4

    def stages(self, ctx: Context) -> tuple[Stage, ...]:
        """Return the probe's stage with its own rate, then the encoder's."""
        share = self.options.probe_share
        return (
            Stage(PROBE, share, self.options.probe_learning_rate),
            Stage(TUNE, 1 - share),
        )

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Keep the heads in the probe; afterwards everything but the heads."""
        heads = model.head_parameters()
        if clock.stage == PROBE:
            return chosen & heads
        opened = chosen - heads
        return opened if opened - model.backbone.fresh else model.body_parameters()


class TopLayers(Part):
    """The highest layers train, and everything after them (Lee et al., 2019)."""

    learning_rate_hint: ClassVar = 2e-4

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Refuse more layers than there are."""
        there = len(model.backbone.layout.layers)
        if self.options.layers > there:
            raise IncompatibleError(
                f"top-layers: layers = {self.options.layers}, but the backbone has {there}",
                hint=f"give a number from 1 to {there}",
            )

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the parameters of the highest layers and of what comes after them."""
        layers = model.layers()
        below = frozenset(p for layer in layers[: -self.options.layers] for p in layer.parameters())
        words = model.get_submodule(f"backbone.{model.backbone.layout.embeddings}")
        return chosen | frozenset(_after(model, layers, words) - below)


def _after(model: TaskModel, layers: list[nn.Module], words: nn.Module) -> set[nn.Parameter]:
    """Return all of the body's parameters but those of the block that embeds the words."""
    inputs = next(
        block
        for block in _blocks(model.backbone, set(layers))
        if any(module is words for module in block.modules())
    )
    return set(model.backbone.parameters()) - set(inputs.parameters())


def _blocks(module: nn.Module, layers: set[nn.Module]) -> list[nn.Module]:
    """Return the largest modules that hold no layer."""
    if not layers & set(module.modules()):
        return [module]
    if module in layers:
        return []
    return [block for child in module.children() for block in _blocks(child, layers)]
