"""The hidden states between the layers of a backbone, (B, T, D)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from hub_core.batch import Encoded


def entering(args: Sequence[Any], named: Mapping[str, Any]) -> Tensor:
    """Return the hidden states that a layer is called with."""
    found: Tensor = args[0] if args else named["hidden_states"]
    return found


def leaving(output: Any) -> Tensor:
    """Return the hidden states of what a layer gives."""
    found: Tensor = output if isinstance(output, Tensor) else output[0]
    return found


def with_layers(layers: Sequence[nn.Module], encode: Callable[[], Encoded]) -> Encoded:
    """Return what ``encode`` does, with what enters the first layer and what every layer gives.

    Args:
        layers: The backbone's layers, bottom to top.
        encode: Runs the backbone once.
    """
    found: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: found.append(leaving(out)))
        for layer in layers
    ]
    hooks.append(
        layers[0].register_forward_pre_hook(
            lambda _, args, named: found.append(entering(args, named)), with_kwargs=True
        )
    )
    try:
        encoded = encode()
    finally:
        for hook in hooks:
            hook.remove()
    width = encoded.hidden.shape[1]  # what a part has put before the input is left out
    return replace(encoded, layers=tuple(hidden[:, -width:] for hidden in found))
