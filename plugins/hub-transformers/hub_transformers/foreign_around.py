"""PEFT around a model: every tensor of the adapter is there, and each has its place.

PEFT builds the modules and fills them from values and tensors that were read here; it opens no
file, so it can neither fall back to other weights nor fetch anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from hub_core.errors import FormatError, HubError, IntegrityError, PluginError, listed
from hub_transformers.backbone import reason_of
from hub_transformers.foreign_adapter import Adapter, Tensors

SHOWN = 10


def put_on(model: PreTrainedModel, adapter: Adapter, task: str) -> nn.Module:
    """Return the model with the adapter around it, filled and strictly checked.

    Raises:
        PluginError: PEFT is not installed.
        FormatError: PEFT cannot build it on this model.
        IntegrityError: Tensors are missing, unexpected or of another shape.
    """
    peft, configs = _peft()
    plain = frozenset(model.state_dict())
    values = adapter.config.safe_config() | {"task_type": task}
    make = peft.MODEL_TYPE_TO_PEFT_MODEL_MAPPING[task]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PEFT only warns of is refused below
            config = configs[adapter.config.peft_type](**values)
            whole: nn.Module = make(model, config).eval()
            expected = peft.get_peft_model_state_dict(whole, save_embedding_layers=False)
            tensors = _fitting(adapter, expected, model.base_model_prefix, plain)
            peft.set_peft_model_state_dict(whole, tensors)
    except HubError:
        raise
    except Exception as error:  # whatever PEFT stumbles over: the values are a stranger's
        raise FormatError(
            f"{adapter.where}: PEFT cannot put it on this {type(model).__name__}: "
            f"{reason_of(error)}",
            hint="check that it is the base model that the adapter was trained on",
        ) from None
    return whole


def _peft() -> tuple[Any, Mapping[str, Any]]:
    """Return the library, and method to the class of its configuration."""
    try:
        import peft
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    except ImportError as error:
        raise PluginError(
            f"adapters of PEFT need the library peft, which cannot be imported: {error}",
            hint="pip install peft",
        ) from None
    return peft, PEFT_TYPE_TO_CONFIG_MAPPING


def _fitting(
    adapter: Adapter, expected: Mapping[str, Tensor], prefix: str, plain: Collection[str]
) -> Tensors:
    """Return the adapter's tensors under the names that PEFT expects, complete and exact.

    A head that the adapter does not bring stays the base model's own: PEFT keeps a copy of it.
    """
    found = _renamed(adapter, expected, prefix)
    wanted = {_bare(name): name for name in expected}
    found = {wanted.get(_bare(name), name): _widened(tensor) for name, tensor in found.items()}
    kept = {name for name in expected if name.removeprefix(adapter.prefix) in plain}
    if not kept & set(found) and not adapter.promises_head:
        found |= {name: expected[name] for name in kept}
    lines = [f"missing: {name}" for name in sorted(set(expected) - set(found))]
    lines += [f"unexpected: {name}" for name in sorted(set(found) - set(expected))]
    lines += [
        f"{name} has shape {list(tensor.shape)}, the model's has {list(expected[name].shape)}"
        for name, tensor in found.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if lines:
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise IntegrityError(
            f"{adapter.folder}: its tensors are not those of its configuration on this base "
            f"model:{listed(lines[:SHOWN] + more)}",
            hint="check the base model (--backbone), or fetch the adapter again",
        )
    return found


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _bare(name: str) -> str:
    """Return a name without the ending that PEFT writes of some tensors and not of others."""
    return name.removesuffix(".weight") if "magnitude_vector" in name else name


def _renamed(adapter: Adapter, expected: Collection[str], prefix: str) -> Tensors:
    """Return tensors with or without the name that a model with a head has for its base."""
    tensors, short, long = adapter.tensors, adapter.prefix, f"{adapter.prefix}{prefix}."
    choices = [
        tensors,
        {name.replace(long, short, 1): tensor for name, tensor in tensors.items()},
        {name.replace(short, long, 1): tensor for name, tensor in tensors.items()},
    ]
    return max(choices, key=lambda choice: len(set(choice) & set(expected)))
