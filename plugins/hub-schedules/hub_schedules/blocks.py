"""A model's parameters as embeddings, layers and the rest."""

from __future__ import annotations

from dataclasses import dataclass

from hub_core.model import TaskModel
from hub_core.part import Chosen


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where every parameter belongs; no parameter is in two of these.

    Args:
        always: The heads, and what the checkpoint lacked: it starts from nothing, as they do.
        inputs: The block of the word embeddings.
        layers: The layers, bottom to top, with all that was added inside them.
        after: What else the backbone has, such as a last norm, a pooler or trained prompts.
    """

    always: Chosen
    inputs: Chosen
    layers: tuple[Chosen, ...]
    after: Chosen

    def opened(self, chosen: Chosen) -> Chosen:
        """Return what others chose; where no layer is among it, the whole backbone as well."""
        if any(layer & chosen for layer in self.layers):
            return chosen
        return chosen.union(self.inputs, *self.layers, self.after)


def blocks_of(model: TaskModel) -> Blocks:
    """Return a model's blocks; to be asked when all parts have added what they add."""
    always = model.head_parameters() | model.backbone.fresh
    layers = tuple(frozenset(layer.parameters()) - always for layer in model.layers())
    inputs = (_embeddings(model) - always).difference(*layers)
    after = (model.body_parameters() - always - inputs).difference(*layers)
    return Blocks(always, inputs, layers, after)


def _embeddings(model: TaskModel) -> Chosen:
    """Return the parameters of the largest module around the word embeddings without a layer."""
    layers = set(model.layers())
    path = f"backbone.{model.backbone.layout.embeddings}"
    while layers.isdisjoint(model.get_submodule(path.rpartition(".")[0]).modules()):
        path = path.rpartition(".")[0]
    return frozenset(model.get_submodule(path).parameters())
