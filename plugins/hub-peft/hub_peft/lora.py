"""LoRA through PEFT: W + s B A, with B = 0 at the start (Hu et al., 2021, section 4.1).

Injected where PEFT puts it, or, when a later part needs plain weights, as a parametrization of
the same A and B. The file is the same in both forms and opens in plain PEFT.
"""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part, Portable

ADAPTER = "default"
BODY = "backbone.body."


class LowRank(nn.Module):
    """The parametrization W → W + s B A."""

    def __init__(self, lora_a: nn.Parameter, lora_b: nn.Parameter, scale: float) -> None:
        super().__init__()
        self.lora_A, self.lora_B, self.scale = lora_a, lora_b, scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight, (out, in)."""
        return weight + self.scale * (self.lora_B @ self.lora_A).to(weight.dtype)


class Lora(Part):
    """Low-rank adaptation; only its A and B train besides the head."""

    learning_rate_hint: ClassVar = 1e-3

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._added: frozenset[nn.Parameter] = frozenset()
        self._keys: dict[nn.Parameter, str] = {}
        self._config: LoraConfig | None = None
        self._targets: list[str] = []
        self._parametrized: list[str] = []

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Put A and B beside, or into, every linear layer with a wanted role."""
        there = set(model.backbone.layout.linears.values())
        if absent := [role for role in self.options.targets if role not in there]:
            raise IncompatibleError(
                f"lora: the backbone has no linear layer of the roles {', '.join(absent)}",
                hint=f"it has {', '.join(sorted(there))}",
            )
        targets = dict(model.linears(*self.options.targets))
        before = frozenset(model.parameters())
        paths = {module: name for name, module in model.backbone.named_modules()}
        names = {path: paths[linear] for path, linear in targets.items()}
        _refuse_adapted(model, names)
        self._targets = sorted(names.values())  # PEFT shortens its own list
        self._config = self._peft_config(self._targets)
        inject_adapter_in_model(self._config, model.backbone, adapter_name=ADAPTER)
        if "plain-weights" in ctx.needs:
            self._parametrize(model, targets, names)
        else:
            for path, name in names.items():
                layer: Any = model.backbone.get_submodule(name)
                layer.fold = functools.partial(_fold, layer)
                self._note(path, layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight)
                if self.options.dora:
                    magnitude = layer.lora_magnitude_vector[ADAPTER].weight
                    # PEFT itself leaves ".weight" out, reads both, and only so do others read it
                    self._keys[magnitude] = f"{path}.lora_magnitude_vector.weight"
        self._added = frozenset(model.parameters()) - before

    def _peft_config(self, targets: list[str]) -> LoraConfig:
        options = self.options
        return LoraConfig(
            r=options.r,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=targets,
            use_rslora=options.rslora,
            use_dora=options.dora,
            init_lora_weights=True if options.init == "default" else options.init,
            bias="none",
        )

    def _note(self, path: str, lora_a: nn.Parameter, lora_b: nn.Parameter) -> None:
        self._keys[lora_a] = f"{path}.lora_A.weight"
        self._keys[lora_b] = f"{path}.lora_B.weight"

    def _parametrize(
        self, model: TaskModel, targets: dict[str, nn.Linear], names: dict[str, str]
    ) -> None:
        """Take PEFT's A and B over into a parametrization of the plain layer."""
        root = math.sqrt(self.options.r) if self.options.rslora else self.options.r
        for path, name in names.items():
            layer: Any = model.backbone.get_submodule(name)
            lora_a, lora_b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
            model.backbone.set_submodule(name, targets[path])
            update = LowRank(lora_a, lora_b, self.options.alpha / root)
            # the update is B A with B = 0: nothing to check by running it
            parametrize.register_parametrization(targets[path], "weight", update, unsafe=True)
            self._note(path, lora_a, lora_b)
            self._parametrized.append(path)

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add A and B."""
        return chosen | self._added

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Fold parametrizations in; injected adapters stay beside their layers."""
        for path in self._parametrized:
            model.bake(path)

    def portable(self, model: TaskModel) -> Portable | None:
        """Return the adapter as PEFT names it, for a body that is a plain transformers model."""
        if "transformers" not in model.backbone.tags or self._config is None:
            return None
        names = {}
        for name, parameter in model.named_parameters():
            key = self._keys.get(parameter)
            if key is not None:
                if not key.startswith(BODY):
                    return None
                names[name] = f"base_model.model.{key.removeprefix(BODY)}"
        config = self._config.to_dict()
        config["target_modules"] = [name.removeprefix("body.") for name in self._targets]
        config["inference_mode"] = True
        identity = model.backbone.identity
        place, _, commit = identity.hint.partition("@")
        config["base_model_name_or_path"] = place or identity.name
        config["revision"] = commit or None
        return Portable({k: _plain(v) for k, v in config.items()}, names)


def _refuse_adapted(model: TaskModel, names: dict[str, str]) -> None:
    for path, name in names.items():
        holder = model.backbone.get_submodule(name.rpartition(".")[0])
        if isinstance(holder, BaseTunerLayer):
            raise IncompatibleError(
                f"lora: {path} has an adapter of PEFT already",
                hint="choose targets that do not overlap, or take one of them out",
            )


def _fold(layer: Any, linear: nn.Linear) -> None:
    """Merge a PEFT layer's update into its linear layer, which is plain by now."""
    with torch.no_grad():
        layer.merge(adapter_names=[ADAPTER])


def _plain(value: Any) -> Any:
    """Return a config value as JSON has it."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return value.value if hasattr(value, "value") else value
