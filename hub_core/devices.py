"""Where and how to compute: device, precision, threads, and the accelerator for them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from hub_core.errors import TrainingError
from hub_core.model import TaskModel


def choose_threads(wanted: int) -> int:
    """Set and return torch's processor threads; 0 leaves one core free.

    Two threads beside another busy process are far slower than one, so the default does not take
    the last core.
    """
    threads = wanted or max(1, (os.cpu_count() or 1) - 1)
    torch.set_num_threads(threads)
    return threads


def choose_device(wanted: str) -> torch.device:
    """Return the device to use.

    Raises:
        TrainingError: The device that was asked for is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if wanted == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there[wanted]:
        raise TrainingError(f"there is no {wanted} device here", hint="use --device auto")
    return torch.device(wanted)


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return ``bf16`` or ``fp32``; ``auto`` takes bf16 where the device computes in it fast."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    fast = device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
    return "bf16" if fast else "fp32"


def accelerator_for(device: torch.device, mixed_precision: str) -> Accelerator:
    """Return an accelerator, also where an earlier run of this process had another device.

    accelerate keeps one state for each process and refuses to change it.
    """
    found = None
    with contextlib.suppress(ValueError):
        found = Accelerator(cpu=device.type == "cpu", mixed_precision=mixed_precision)
    if found is None or found.device.type != device.type:
        AcceleratorState._reset_state(reset_partial_state=True)
        found = Accelerator(cpu=device.type == "cpu", mixed_precision=mixed_precision)
    return found


@contextlib.contextmanager
def compiled(model: TaskModel, wanted: bool) -> Iterator[None]:
    """Have torch compile every layer, in place: parameters keep their names.

    Compiling takes a minute or more, which short runs on a processor never win back.
    """
    layers = model.layers() if wanted else []
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
