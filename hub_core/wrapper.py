"""A module around another, and what of a chain of them can be folded into a linear layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Wrapper(nn.Module):
    """A module around another, found as ``base_layer``; unknown attributes are the inner one's.

    A wrapper of a linear layer may define ``fold(linear)``, which adds what the wrapper does to
    the plain linear layer given; ``TaskModel.bake`` calls it.

    Attributes:
        stays: Whether it cannot be folded and remains when all that is inside of it is, because
            what it does depends on the input.
    """

    stays: ClassVar[bool] = False

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer" or "_alone" in self.__dict__:
                raise
            return getattr(super().__getattr__("base_layer"), name)

    @contextmanager
    def _by_itself(self) -> Iterator[None]:
        """Have only the wrapper's own attributes: it may register what the inner one has too."""
        self.__dict__["_alone"] = True
        try:
            yield
        finally:
            del self.__dict__["_alone"]

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Add a parameter of the wrapper's own, whatever the inner module's are called."""
        with self._by_itself():
            super().register_parameter(name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a buffer of the wrapper's own, whatever the inner module's are called."""
        with self._by_itself():
            super().register_buffer(name, tensor, persistent)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a module of the wrapper's own, whatever the inner module's are called."""
        with self._by_itself():
            super().add_module(name, module)


def chain_of(module: nn.Module) -> list[nn.Module]:
    """Return a module and what it wraps, outermost first."""
    chain = [module]
    while (inner := chain[-1]._modules.get("base_layer")) is not None:
        chain.append(inner)
    return chain


def inside_of_what_stays(chain: Sequence[nn.Module]) -> tuple[nn.Module | None, list[nn.Module]]:
    """Return the innermost wrapper that stays, if there is one, and the chain inside of it."""
    for place in reversed(range(len(chain))):
        if getattr(type(chain[place]), "stays", False):
            return chain[place], list(chain[place + 1 :])
    return None, list(chain)


def folds(wrapper: nn.Module) -> bool:
    """Return whether a wrapper itself offers ``fold``: what it wraps may offer one as well."""
    return hasattr(type(wrapper), "fold") or "fold" in vars(wrapper)


@torch.no_grad()
def fold_in(wrappers: Sequence[nn.Module], linear: nn.Linear) -> None:
    """Apply a linear layer's parametrizations to it, then the wrappers, outermost first given."""
    for name in list(getattr(linear, "parametrizations", ())):
        parametrize.remove_parametrizations(linear, name, leave_parametrized=True)
    for wrapper in reversed(wrappers):
        wrapper.fold(linear)  # type: ignore[operator]


def changed_by_folding(linear: nn.Linear, *, wrapped: bool) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that folding writes to, by the name that the layer has for them."""
    for name, stack in getattr(linear, "parametrizations", {}).items():
        yield from ((name, parameter) for parameter in stack.parameters(recurse=False))
    if wrapped:
        yield from linear.named_parameters(recurse=False)
