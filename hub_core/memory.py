"""Less memory for more time, and a sentence where memory ends all the same."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.utils.checkpoint import checkpoint

from hub_core.errors import TrainingError
from hub_core.model import Row, TaskModel

_SPENT = ("out of memory", "can't allocate memory", "not enough memory")


@contextmanager
def recomputed(model: TaskModel, wanted: bool) -> Iterator[None]:
    """Have every layer keep its input alone, and compute it again for the gradients.

    Chance is replayed, so the result has the same bits (Chen et al., 2016).
    """
    layers = model.layers() if wanted else []
    for layer in layers:
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["forward"]


@contextmanager
def told_if_memory_ends(step: int, rows: Sequence[Row]) -> Iterator[None]:
    """Turn a failed allocation into a sentence that names what to lower.

    Raises:
        TrainingError: There is not enough memory for this batch.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        spent = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not spent and not any(words in str(error).lower() for words in _SPENT):
            raise
        longest = max(row.length for row in rows)
        raise TrainingError(
            f"there is not enough memory for step {step}: {len(rows)} rows of up to {longest} "
            f"tokens, {len(rows) * longest} with padding",
            hint=f"lower training.batch_tokens below {len(rows) * longest} and make up for it with "
            "training.accumulate, cut the texts to fewer tokens, use --precision bf16, or set "
            "training.gradient_checkpointing = true",
        ) from error
