"""Devices: what a method adds to a model goes where the model goes.

Without an accelerator two things show it: a tensor that a module holds as a plain attribute stays
behind, and on the device ``meta`` torch refuses to compute with what stayed on the processor.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hub_core.testing.expecting import expect, some
from hub_core.testing.trial import Trial


def moves(trial: Trial) -> None:
    """Check that everything in the model moves with it; where there is an accelerator, train there.

    What computes with values, such as a branch on one, cannot run on ``meta``; for that part of
    the check nothing is concluded then.

    Raises:
        ConformanceError: Something would stay behind.
    """
    run = trial.rehearse()
    left = list(loose(run.model))
    expect(
        not left,
        f"plain tensors are attributes of modules: {some(left)}; use register_buffer, so that they "
        "move with the model",
    )
    batch = run.batch()
    run.model.to("meta").eval()
    inputs = {name: tensor.to("meta") for name, tensor in batch.inputs.items()}
    try:
        run.model.backbone.encode(inputs)
    except (NotImplementedError, RuntimeError) as error:
        stayed = "device" in str(error) and "meta" in str(error)
        expect(not stayed, f"something stays behind when the model moves: {error}")
    for device in ("cuda", "mps"):
        if getattr(torch, device).is_available():
            trial.train(f"on-{device}", trial.recipe(epochs=2, device=device))


def loose(model: nn.Module) -> Iterator[str]:
    """Yield the tensors that modules hold as plain attributes, by path.

    Tensors that are a parameter or a buffer of the model as well are only found twice.
    """
    known = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            items = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(item, Tensor) and id(item) not in known for item in items):
                yield f"{path}.{name}".lstrip(".")
