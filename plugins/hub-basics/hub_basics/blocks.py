"""The blocks of a backbone: what embeds the input, the layers, and what comes after them."""

from __future__ import annotations

from torch import nn

from hub_core.model import TaskModel


def embeddings(model: TaskModel) -> nn.Module:
    """Return the block that embeds the words, such as with positions and a norm.

    It is the largest module that holds the word embeddings and no layer.
    """
    words = model.get_submodule(f"backbone.{model.backbone.layout.embeddings}")
    layers = set(model.layers())
    if not layers:  # then nothing says where the input ends
        return words
    found = (block for block in _without_layers(model.backbone, layers) if words in _held(block))
    return next(found)


def named_blocks(model: TaskModel) -> dict[str, nn.Module]:
    """Return the blocks from bottom to top by name: embeddings, every layer, the pooling layer."""
    blocks = {"embeddings": embeddings(model)}
    blocks |= {f"layer {number}": layer for number, layer in enumerate(model.layers())}
    if model.backbone.layout.pooler:
        blocks["pooler"] = model.get_submodule(f"backbone.{model.backbone.layout.pooler}")
    return blocks


def _held(block: nn.Module) -> set[nn.Module]:
    return set(block.modules())


def _without_layers(module: nn.Module, layers: set[nn.Module]) -> list[nn.Module]:
    """Return the largest modules that hold no layer."""
    if not layers & _held(module):
        return [module]
    if module in layers:
        return []
    return [block for child in module.children() for block in _without_layers(child, layers)]
