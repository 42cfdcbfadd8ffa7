"""Which modules are in training mode: frozen ones are not, so that nothing frozen is noisy."""

from __future__ import annotations

from torch import nn

from hub_core.model import TaskModel
from hub_core.part import Chosen


def set_modes(model: TaskModel, chosen: Chosen, pretrained: Chosen) -> None:
    """Put what trains into training mode and everything else into eval mode.

    A layer, an embedding or another block of the backbone is in training mode as a whole if any
    of its own pre-trained parameters is chosen. Where only added parameters are, just the modules
    that hold them are, with what was added beside them: the frozen block around an adapter keeps
    its dropout off.

    Args:
        model: The model.
        chosen: What trains now.
        pretrained: The backbone's own parameters.
    """
    model.eval()
    for head in model.heads.values():
        head.train(any(parameter in chosen for parameter in head.parameters()))
    holders = _holders(model)
    for holder in holders:
        _train_own(holder, chosen)
    for block in _blocks(model, holders):
        own = [parameter for parameter in block.parameters() if parameter in chosen]
        if any(parameter in pretrained for parameter in own):
            block.train()
        elif own:
            _train_added(block, chosen, pretrained)


def _holders(model: TaskModel) -> set[nn.Module]:
    """Return the backbone and what of it holds layers, without the layers."""
    layers = set(model.layers())
    inside = {module for layer in layers for module in layer.modules()}
    holders = {m for m in model.backbone.modules() if layers & set(m.modules())}
    return (holders | {model.backbone}) - inside


def _blocks(model: TaskModel, holders: set[nn.Module]) -> list[nn.Module]:
    """Return the layers, and what of the backbone lies outside of them, as disjoint modules."""
    layers = model.layers()
    apart = holders | {module for layer in layers for module in layer.modules()}
    outside = [
        child
        for holder in holders
        for child in holder.children()
        if child not in apart and child not in _added_by(holder)
    ]
    return [*layers, *outside]


def _added_by(module: nn.Module) -> list[nn.Module]:
    """Return what a wrapper has besides what it wraps; any other module has added nothing."""
    if "base_layer" not in module._modules:
        return []
    return [child for name, child in module.named_children() if name != "base_layer"]


def _train_own(module: nn.Module, chosen: Chosen) -> None:
    """Put a module itself, with what it has added as a wrapper, into training mode if chosen."""
    added = _added_by(module)
    own = [*module.parameters(recurse=False), *(p for child in added for p in child.parameters())]
    if any(parameter in chosen for parameter in own):
        module.training = True
        for child in added:
            child.train()


def _train_added(module: nn.Module, chosen: Chosen, pretrained: Chosen) -> None:
    """Put what was added and is chosen into training mode, somewhere under a frozen module."""
    if (inner := module._modules.get("base_layer")) is not None:
        _train_own(module, chosen)
        _train_added(inner, chosen, pretrained)
        return
    parameters = set(module.parameters())
    if chosen & parameters and not pretrained & parameters:
        module.train()
        return
    _train_own(module, chosen)
    for child in module.children():
        _train_added(child, chosen, pretrained)
