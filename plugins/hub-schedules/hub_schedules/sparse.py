"""FISH Mask: a few entries of the backbone's matrices change (Sung et al., 2021).

They are those with the largest diagonal of the empirical Fisher information,

    F = 1/n sum_i (d log p(y_i | x_i) / dw)^2       (equation 5)

and are chosen once, before training. What changes them is a vector of its own that is added where
they are: the matrices themselves never train, and the artifact holds the vector and the places.
Unlike in the paper, biases and norms are left out: others look for them by their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hub_core.declare import Clock
from hub_core.errors import IncompatibleError
from hub_core.model import TaskModel
from hub_core.part import Chosen, Context, Part
from hub_schedules.fisher import drawn, fisher_of, largest


class Added(nn.Module):
    """The parametrization W -> W with some values added at a few places.

    Args:
        values: The values of all weights, (k,).
    """

    places: Tensor

    def __init__(self, values: nn.Parameter) -> None:
        super().__init__()
        self.values, self.first = values, 0
        self.register_buffer("places", torch.empty(0, dtype=torch.long), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight, of the same shape."""
        count = len(self.places)
        if not count:
            return weight
        own = self.values[self.first : self.first + count].to(weight.dtype)
        return weight.flatten().index_add(0, self.places, own).view_as(weight)


@dataclass(frozen=True, slots=True)
class Place:
    """A weight: the module that has it, its name there, itself, and what is added to it."""

    module: nn.Module
    name: str
    weight: nn.Parameter
    added: Added


class FishMask(Part):
    """A fixed share of the entries of the backbone's matrices trains, besides the head."""

    learning_rate_hint: ClassVar = 1e-3

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._base: tuple[nn.Parameter, ...] = ()
        self._places: list[Place] = []
        self._chosen: Tensor | None = None
        self._values: nn.Parameter

    def reshape(self, model: TaskModel, ctx: Context) -> None:
        """Note the backbone's own matrices, before any part adds some."""
        self._base = tuple(p for p in model.backbone.parameters() if p.ndim > 1)

    def prepare(self, model: TaskModel, ctx: Context) -> None:
        """Add the vector, all zeros, to every weight that could be chosen.

        Raises:
            IncompatibleError: So few are wanted that there would be none.
        """
        found = {weight: (module, name) for module, name, weight in _weights(model, self._base)}
        ordered = [weight for weight in self._base if weight in found]
        count = self._count(model, ordered) if self._chosen is None else len(self._chosen)
        self._values = nn.Parameter(torch.zeros(count))
        for weight in ordered:
            (module, name), added = found[weight], Added(self._values)
            # it gives what it was given, as long as nothing was chosen: nothing to check
            parametrize.register_parametrization(module, name, added, unsafe=True)
            self._places.append(Place(module, name, weight, added))
        if self._chosen is not None:
            self._spread(self._chosen)

    def _count(self, model: TaskModel, weights: list[nn.Parameter]) -> int:
        fresh = model.backbone.fresh
        total = sum(weight.numel() for weight in weights if weight not in fresh)
        count: int = round(self.options.density * total)
        if not count:
            raise IncompatibleError(
                f"fish-mask: density = {self.options.density:g} keeps none of the {total} entries "
                "of the backbone's matrices",
                hint=f"give at least {1 / max(1, total):.1e}",
            )
        return count

    def observe(self, model: TaskModel, ctx: Context) -> None:
        """Choose the entries; what the checkpoint lacked trains anyway, so it is left out."""
        options = self.options
        samples = 1 if ctx.empty else options.samples  # without weights any entries will do
        batches = drawn(model, ctx.batches(samples), samples, options.batch_size)
        found = fisher_of(model, batches, [place.weight for place in self._places])
        start = 0
        for place in self._places:
            end = start + place.weight.numel()
            if place.weight in model.backbone.fresh:
                found[start:end] = -1
            start = end
        self._chosen = largest(found, len(self._values)).cpu()
        self._spread(self._chosen)

    def _spread(self, chosen: Tensor) -> None:
        """Tell every weight which of its entries were chosen; they are in rising order."""
        ends = [*accumulate(place.weight.numel() for place in self._places)]
        cuts = [0, *torch.searchsorted(chosen, torch.tensor(ends)).tolist()]
        for number, (place, end) in enumerate(zip(self._places, ends, strict=True)):
            own = chosen[cuts[number] : cuts[number + 1]] - (end - place.weight.numel())
            place.added.first = cuts[number]
            place.added.places = own.to(place.weight.device)

    def select(self, model: TaskModel, chosen: Chosen, clock: Clock) -> Chosen:
        """Add the vector."""
        return chosen | {self._values}

    def finalize(self, model: TaskModel, ctx: Context) -> None:
        """Add the values for good, where a part before has not done so."""
        for place in self._places:
            stack = getattr(place.module, "parametrizations", {})
            if place.name in stack and place.added in [*stack[place.name]]:
                parametrize.remove_parametrizations(place.module, place.name)

    def report(self, model: TaskModel) -> Mapping[str, float]:
        """Return how many entries were chosen, and their share of those of all matrices."""
        total = sum(place.weight.numel() for place in self._places)
        return {"entries": len(self._values), "density": len(self._values) / total}

    def state_dict(self) -> dict[str, Any]:
        """Return the places, counted over all matrices."""
        if self._chosen is None:
            return {"chosen": None}
        short = not len(self._chosen) or int(self._chosen[-1]) < 2**31
        return {"chosen": self._chosen.to(torch.int32 if short else torch.int64)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the places back."""
        chosen = state["chosen"]
        self._chosen = None if chosen is None else chosen.long()


def _weights(
    model: TaskModel, base: tuple[nn.Parameter, ...]
) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Yield every weight that nothing can be added to behind its module's back.

    Recurrent modules keep references to their weights, and what two modules share would be
    changed in one of them only.
    """
    wanted = frozenset(base)
    modules = [m for m in model.modules() if not isinstance(m, parametrize.ParametrizationList)]
    found = [(m, name, weight) for m in modules for name, weight in _own(m) if weight in wanted]
    holders = Counter(weight for _, _, weight in found)
    for module, name, weight in found:
        if holders[weight] == 1 and not isinstance(module, nn.RNNBase):
            yield module, name, weight


def _own(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield a module's own parameters, with those under a parametrization."""
    for name, weight in module._parameters.items():
        if weight is not None:
            yield name, weight
    for name, stack in getattr(module, "parametrizations", {}).items():
        if isinstance(weight := getattr(stack, "original", None), nn.Parameter):
            yield name, weight
