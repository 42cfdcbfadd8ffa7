"""Weights as 8-bit integers: w ≈ s q with q in [-127, 127] (Jacob et al., 2018, symmetric).

Weights only: they are multiplied out when the layer runs, so this saves memory, not time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_core.model import TaskModel
from hub_core.part import Context, Part

LEVELS = 127


class Int8Linear(nn.Module):
    """A linear layer whose weights are ordinary int8 tensors.

    Args:
        linear: The layer to take over.
        per_channel: One scale for each output, (out, 1), instead of a single one, (1, 1).
    """

    weight_int8: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear, *, per_channel: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        largest = weight.abs().amax(1, keepdim=True) if per_channel else weight.abs().amax()
        scale = (largest / LEVELS).clamp_min(torch.finfo(torch.float32).tiny).reshape(-1, 1)
        self.register_buffer("weight_int8", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs (…, in) times the dequantized weight, plus bias: (…, out)."""
        weight = self.weight_int8.to(inputs.dtype) * self.scale.to(inputs.dtype)
        return F.linear(inputs, weight, self.bias)


class QuantizeInt8(Part):
    """Quantize every linear layer of the backbone's layers after training."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._bytes = (0, 0)

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Bake every linear layer, then put the 8-bit one in its place."""
        before = after = 0
        for path, _ in list(model.linears()):
            linear = model.bake(path)
            quantized = Int8Linear(linear, per_channel=self.options.per_channel)
            before += linear.weight.nbytes
            after += quantized.weight_int8.nbytes + quantized.scale.nbytes
            model.replace(path, quantized)
        self._bytes = (before, after)

    def report(self, model: TaskModel) -> dict[str, float]:
        """Return the bytes that the weights of the quantized layers take, before and after."""
        return {"bytes_before": self._bytes[0], "bytes_after": self._bytes[1]}
