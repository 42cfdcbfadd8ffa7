"""GaLore: Adam on gradients that are projected to a low rank (Zhao et al., 2024).

For a weight W (m, n) with m <= n, P holds the r leading left singular vectors of a gradient G::

    R = P^T G           (r, n); Adam's moments are of R
    N = M / (sqrt(V) + eps), both corrected for their bias
    W <- W - rate * scale * P N

Where m > n it is the right singular vectors that project, so it is always the short side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hub_core.model import TaskModel
from hub_core.part import Context, Part


class GaloreAdamW(torch.optim.Optimizer):
    """AdamW, whose moments of large matrices are of the projected gradient (algorithm 2).

    Matrices with a short side up to the rank, and all that is no matrix, have plain AdamW.

    Args:
        groups: Parameter groups, with ``lr`` and ``weight_decay``.
        rank: Dimensions that are left of the short side.
        every: Steps until a projection is computed anew; the moments stay.
        factor: Factor on projected updates; a group's ``scale`` is something else.
    """

    def __init__(self, groups: Any, *, rank: int, every: int, factor: float) -> None:
        usual = {"lr": 0.0, "weight_decay": 0.0, "betas": (0.9, 0.999), "eps": 1e-8}
        super().__init__(groups, usual | {"rank": rank, "every": every, "factor": factor})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step with all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: nn.Parameter, group: Mapping[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        state["step"] = state.get("step", 0) + 1
        projected = parameter.ndim == 2 and min(parameter.shape) > group["rank"]
        if projected:
            if state["step"] % group["every"] == 1 % group["every"]:
                state["basis"] = leading(gradient, group["rank"])
            gradient = project(gradient, state["basis"])
        update = _adam(gradient, state, group)
        if projected:
            update = group["factor"] * unproject(update, state["basis"], parameter.shape)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"])


def _adam(gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> Tensor:
    """Add a gradient to the moments and return Adam's direction, of the gradient's shape."""
    if "mean" not in state:
        state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    (slow, slower), step = group["betas"], state["step"]
    mean, square = state["mean"], state["square"]
    mean.lerp_(gradient, 1 - slow)
    square.mul_(slower).addcmul_(gradient, gradient, value=1 - slower)
    root = (square / (1 - slower**step)).sqrt_().add_(group["eps"])
    update: Tensor = (mean / (1 - slow**step)).div_(root)
    return update


def leading(gradient: Tensor, rank: int) -> Tensor:
    """Return the leading singular vectors of a matrix on its short side s, as columns (s, rank).

    The long side is taken out by a QR decomposition first: of embeddings it is very long.
    """
    tall = gradient if gradient.shape[0] >= gradient.shape[1] else gradient.T
    triangle = torch.linalg.qr(tall.float(), mode="r").R  # (s, s)
    found: Tensor = torch.linalg.svd(triangle).Vh[:rank].T
    return found.to(gradient.dtype).contiguous()


def project(matrix: Tensor, basis: Tensor) -> Tensor:
    """Return a matrix with its short side projected: (long, rank), or (rank, long) if wide."""
    return matrix @ basis if matrix.shape[0] >= matrix.shape[1] else basis.T @ matrix


def unproject(low: Tensor, basis: Tensor, shape: torch.Size) -> Tensor:
    """Return a projected matrix in the shape that it had."""
    return low @ basis.T if shape[0] >= shape[1] else basis @ low


class Galore(Part):
    """Whatever trains does so with GaLore; the strategies beside it say what that is."""

    learning_rate_hint: ClassVar = 4e-3

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._optimizer: GaloreAdamW | None = None

    def optimizer(self, groups: list[dict[str, Any]], ctx: Context) -> torch.optim.Optimizer | None:
        """Return the optimizer."""
        options = self.options
        self._optimizer = GaloreAdamW(
            groups, rank=options.rank, every=options.every, factor=options.scale
        )
        return self._optimizer

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return the bytes of the optimizer's state, and of AdamW's for the same parameters."""
        if self._optimizer is None:
            return {}
        state = self._optimizer.state
        tensors = (value for known in state.values() for value in known.values())
        return {
            "optimizer_bytes": sum(t.nbytes for t in tensors if isinstance(t, Tensor)),
            "adamw_bytes": sum(2 * parameter.nbytes for parameter in state),
        }
