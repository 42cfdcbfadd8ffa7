"""Which modules are in training mode: frozen ones are not, so that nothing frozen is noisy."""

from __future__ import annotations

from torch import nn

from hub_core.model import TaskModel
from hub_core.part import Chosen


def set_modes(model: TaskModel, chosen: Chosen, pretrained: Chosen) -> None:
    """Put what trains into training mode and everything else into eval mode.

    A layer, an embedding or another block of the backbone is in training mode as a whole if any
    of its own pre-trained parameters is chosen. Where only added parameters are, just the modules
    that hold them are: the frozen block around an adapter keeps its dropout off.

    Args:
        model: The model.
        chosen: What trains now.
        pretrained: The backbone's own parameters.
    """
    model.eval()
    for head in model.heads.values():
        head.train(any(parameter in chosen for parameter in head.parameters()))
    for block in _blocks(model):
        own = [parameter for parameter in block.parameters() if parameter in chosen]
        if any(parameter in pretrained for parameter in own):
            block.train()
        elif own:
            _train_added(block, chosen)


def _blocks(model: TaskModel) -> list[nn.Module]:
    """Return the layers, and what of the backbone lies outside of them, as disjoint modules."""
    layers = set(model.layers())
    inside = {module for layer in layers for module in layer.modules()}
    holders = {m for m in model.backbone.modules() if layers & set(m.modules())}
    outside = [
        child
        for holder in holders - inside
        for child in holder.children()
        if child not in holders and child not in inside
    ]
    return [*model.layers(), *outside]


def _train_added(block: nn.Module, chosen: Chosen) -> None:
    for module in block.modules():
        if "base_layer" in module._modules:
            added = [child for name, child in module.named_children() if name != "base_layer"]
            if any(p in chosen for child in added for p in child.parameters()):
                module.training = True
                for child in added:
                    child.train()
        elif any(p in chosen for p in module.parameters(recurse=False)):
            module.train()
