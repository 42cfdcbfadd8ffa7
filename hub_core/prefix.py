"""Nothing frozen is computed twice: what enters the lowest layer that trains is kept.

Below that point the model gives the same vectors for the same text in every epoch, so they are
computed once, before the first step. Then the layers below are replaced by stand-ins that hand
the kept vectors upwards, and the backbone's own forward runs: masks, positions and whatever comes
after the layers stay its business.

It holds where the backbone has the tag ``layers``, no part says ``changes_body``, and everything
chosen so far is first used at that layer or later, which a traced forward pass shows. In every
epoch one batch is computed anew and compared.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from hub_core.between import entering, leaving
from hub_core.features import Features, key_of, open_features
from hub_core.model import Batch, Encoded, TaskModel
from hub_core.part import Chosen
from hub_core.timeline import Plan

log = logging.getLogger("hub_core")

LARGEST_DIFFERENCE = {torch.bfloat16: 0.05, torch.float32: 1e-3}
"""Accepted between kept vectors and those computed anew, as a share of their scale."""


class StandIn(nn.Module):
    """In the place of a layer: hands over what ``feed`` gives, or what it was given.

    Whatever else somebody asks of it is asked of the layer.
    """

    def __init__(self, layer: nn.Module, feed: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.__dict__["layer"] = layer  # not a child: its parameters stay where they are
        self.__dict__["feed"] = feed

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return (B, T, D) as the layers below would have."""
        return hidden if self.feed is None else self.feed(hidden)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["layer"], name)


class _EnoughError(Exception):
    """Ends a forward pass of which the rest is not wanted."""


class Trace:
    """The order in which a forward pass first calls a backbone's modules, and where padding is.

    Args:
        model: The model.
        batch: A short and a long row.
    """

    def __init__(self, model: TaskModel, batch: Batch) -> None:
        self._order: dict[nn.Module, int] = {}
        self._backbone = model.backbone
        layers = model.layers()
        ends: list[int] = []
        hooks = [
            register_module_forward_pre_hook(self._note),
            layers[-1].register_forward_hook(lambda *_: ends.append(len(self._order))),
        ]
        try:
            mask = model.backbone.encode(batch.inputs).mask.bool().cpu()
        finally:
            for hook in hooks:
                hook.remove()
        counts, width = [row.length for row in batch.rows], mask.shape[1]
        self.left = bool((~mask[:, 0]).any())
        runs = [_own(count, width, left=self.left) for count in counts]
        whole = all(bool(m[r].all()) for m, r in zip(mask, runs, strict=True))
        aligned = whole and mask.sum(1).tolist() == counts
        self._starts = [self._order[layer] for layer in layers] + ends[:1]
        rising = all(a < b for a, b in zip(self._starts, self._starts[1:], strict=False))
        # shared layers are called several times
        self._layered = rising and len(ends) == 1 and aligned

    def _note(self, module: nn.Module, _: object) -> None:
        self._order.setdefault(module, len(self._order))

    def depth(self, chosen: Chosen) -> int:
        """Return how many layers lie below everything that is chosen."""
        if not self._layered:
            return 0
        first = min(self._first_use(chosen), default=self._starts[-1])
        return max((k for k, start in enumerate(self._starts) if start <= first), default=0)

    def _first_use(self, chosen: Chosen) -> Iterator[int]:
        """Yield when each chosen parameter's owner, or what holds it, is first called."""

        def walk(module: nn.Module, above: int) -> Iterator[int]:
            now = self._order.get(module, above)
            if any(parameter in chosen for parameter in module._parameters.values()):
                yield now
            for child in module.children():
                yield from walk(child, now)

        yield from walk(self._backbone, 0)


def depths_of(plan: Plan, depth_of: Callable[[Chosen], int]) -> dict[int, int]:
    """Return the depth below everything chosen so far, for each step at which that changes.

    Args:
        plan: What trains when.
        depth_of: The depth below some parameters.
    """
    depths, so_far = {}, Chosen()
    for step, chosen in sorted(plan.changes.items()):
        so_far |= chosen
        depths[step] = depth_of(so_far)
    return depths


def lasting_depth(plan: Plan, at: int, depths: Mapping[int, int]) -> int:
    """Return the depth to keep from a step on: 0 where it would not last for two epochs.

    Args:
        plan: What trains when.
        at: A step at which what trains changes.
        depths: What ``depths_of`` gives.
    """
    now = depths[at]
    start = min(step for step, depth in depths.items() if depth == now)
    end = min((step for step, depth in depths.items() if depth < now), default=plan.steps)
    return now if end - start >= 2 * plan.epoch_steps else 0


class Prefix:
    """Keeps what enters the lowest layer that trains, and encodes batches from there.

    Args:
        model: The model.
        batches: Gives every batch that will ever be encoded, in a fixed order.
        sample: Gives a batch of a short and a long row.
        dtype: How vectors are kept.
        limit: Most bytes to keep; 0 keeps nothing.
    """

    def __init__(
        self,
        model: TaskModel,
        batches: Callable[[], Iterator[Batch]],
        sample: Callable[[], Batch],
        dtype: torch.dtype,
        limit: int,
    ) -> None:
        self._model, self._batches, self._sample = model, batches, sample
        self._dtype, self._limit = dtype, limit
        self._features: Features | None = None
        self._seen_as = dtype
        self._trace: Trace | None = None
        self.depth = 0
        self._to_check = True

    def depth_of(self, chosen: Chosen) -> int:
        """Return how many layers lie below everything that is chosen."""
        if self._trace is None:
            with torch.no_grad():
                self._trace = Trace(self._model, self._sample())
        return self._trace.depth(chosen)

    def use(self, depth: int) -> None:
        """Keep what the lowest ``depth`` layers give, or nothing for 0."""
        if depth == self.depth:
            return
        self.close()
        if depth and self._limit and self._fill(depth):
            self.depth = depth
        elif depth:
            self._limit = 0  # what could not be kept once is not tried in every epoch

    def close(self) -> None:
        """Forget what was kept."""
        if self._features is not None:
            self._features.close()
        self._features = None
        self.depth = 0

    def new_epoch(self) -> None:
        """Have the next batch compared with what is computed anew."""
        self._to_check = True

    # -- keeping

    def _fill(self, depth: int) -> bool:
        lengths: dict[bytes, int] = {}
        for batch in self._batches():
            lengths.update((key_of(row.inputs), row.length) for row in batch.rows)
        width = self._model.backbone.layout.hidden
        features = open_features(sum(lengths.values()), width, self._dtype, self._limit)
        if features is None:
            return False
        with torch.no_grad():
            for batch in self._batches():
                hidden = self._compute(batch, depth).cpu()
                for row, vectors in zip(batch.rows, hidden, strict=True):
                    if (key := key_of(row.inputs)) not in features:
                        features.add(key, vectors[_own(row.length, len(vectors), left=self._left)])
        self._features = features
        return True

    @property
    def _left(self) -> bool:
        return self._trace is not None and self._trace.left

    def _compute(self, batch: Batch, depth: int) -> Tensor:
        """Return what enters layer ``depth``, (B, T, D)."""
        layers = self._model.layers()
        kept: list[Tensor] = []

        def keep(hidden: Tensor) -> NoReturn:
            kept.append(hidden)
            raise _EnoughError

        if depth < len(layers):
            hook = layers[depth].register_forward_pre_hook(
                lambda _, args, kwargs: keep(entering(args, kwargs)), with_kwargs=True
            )
        else:
            hook = layers[-1].register_forward_hook(lambda _, __, out: keep(leaving(out)))
        try:
            with contextlib.suppress(_EnoughError):
                self._model.backbone.encode(batch.inputs)
        finally:
            hook.remove()
        self._seen_as = kept[0].dtype
        return kept[0]

    # -- using

    def encode(self, batch: Batch) -> Encoded | None:
        """Return a batch encoded from what was kept, or None where something is missing."""
        if self._features is None:
            return None
        keys = [key_of(row.inputs) for row in batch.rows]
        if not all(key in self._features for key in keys):
            return None
        if self._to_check:
            self._to_check = False
            if not self._holds(batch, keys):
                return None
        with self._stood_in(keys):
            return self._model.backbone.encode(batch.inputs)

    @contextmanager
    def _stood_in(self, keys: Sequence[bytes]) -> Iterator[None]:
        features, depth = self._features, self.depth
        assert features is not None

        def feed(hidden: Tensor) -> Tensor:
            found = features.batch(keys, hidden.shape[1], left=self._left)
            return found.to(hidden.device, self._seen_as)

        layers = self._model.layers()[:depth]
        with self._model.standing_in(
            {n: StandIn(layer, None if n else feed) for n, layer in enumerate(layers)}
        ):
            yield

    def _holds(self, batch: Batch, keys: Sequence[bytes]) -> bool:
        assert self._features is not None
        with torch.no_grad():
            now = self._compute(batch, self.depth).float().cpu()
        width = now.shape[1]
        kept = self._features.batch(keys, width, left=self._left).float()
        for row, vectors in zip(batch.rows, now, strict=True):
            padding = torch.ones(width, dtype=torch.bool)
            padding[_own(row.length, width, left=self._left)] = False
            vectors[padding] = 0.0
        difference, scale = (kept - now).abs().max(), now.abs().max().clamp_min(1e-6)
        if float(difference / scale) <= LARGEST_DIFFERENCE[self._dtype]:
            return True
        log.warning(
            "frozen features changed during training: some part changes the backbone without "
            "saying so (changes_body); they are computed anew from here on"
        )
        self._limit = 0
        self.close()
        return False


def _own(count: int, width: int, *, left: bool) -> slice:
    """Return where a row's own positions are, the rest being padding."""
    return slice(width - count, width) if left else slice(0, count)
