"""What a model is here: a backbone that encodes, a head per task, and where everything sits.

A ``TaskModel`` gives parts the only ways to reach what they did not make: ``linears``,
``layers``, ``wrap``, ``replace`` and ``bake``. They stay right whatever was wrapped before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hub_core.declare import Column, Layout, Task
from hub_core.errors import IncompatibleError
from hub_core.identity import Identity

if TYPE_CHECKING:
    from hub_core.part import Context

Example = Mapping[str, Any]
"""One checked row of data: role to value, such as ``{"text": "Fine.", "label": "positive"}``."""

Prediction = Mapping[str, Any]
"""What a head predicts for one example, ready for JSON."""


@dataclass(frozen=True, slots=True)
class Row:
    """What goes through the model at once: an example, or one window or choice of it.

    Args:
        inputs: Input name to token ids or flags, each of the row's length.
        example: The example that it comes from.
        index: Position of that example among the examples given.
        target: What the loss compares with, or None.
        truncated: Whether the text was cut to the longest input.
    """

    inputs: Mapping[str, Sequence[int]]
    example: Example
    index: int
    target: Any = None
    truncated: bool = False

    @property
    def length(self) -> int:
        """Tokens in this row."""
        return max(len(values) for values in self.inputs.values())


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one task as tensors.

    Args:
        task: The task's name.
        rows: The rows, B of them.
        inputs: Input name to (B, T).
        targets: The head's targets, first dimension B, or None.
    """

    task: str
    rows: Sequence[Row]
    inputs: Mapping[str, Tensor]
    targets: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on ``device``."""
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        targets = None if self.targets is None else self.targets.to(device)
        return replace(self, inputs=inputs, targets=targets)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One vector per input position: ``hidden`` (B, T, D) and ``mask`` (B, T), 1 where real."""

    hidden: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Output:
    """What a forward pass gives: the encoded input and the head's scores."""

    encoded: Encoded
    scores: Tensor


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenized input and whether it was cut."""

    inputs: Mapping[str, Sequence[int]]
    truncated: bool = False


class Backbone(nn.Module):
    """A pre-trained model that turns inputs into one vector per position.

    Args:
        layout: Where things are; a part that removes layers replaces it.
        identity: Fingerprint of the weights as they were loaded.
        tags: What it can do; see ``hub_core.declare.TAGS``.
        pooling: How heads should pool it by default: first, mean, max or last.
        fresh: Parameters that the checkpoint did not hold.
    """

    layout: Layout
    identity: Identity
    tags: frozenset[str]
    pooling: str = "mean"

    def __init__(self) -> None:
        super().__init__()
        self.fresh: frozenset[nn.Parameter] = frozenset()

    @classmethod
    def plan(cls, options: Any, ctx: Context) -> frozenset[str]:
        """Return the tags that ``load`` will give, reading no weights.

        Raises:
            IncompatibleError: The options name a model that this backbone does not know.
        """
        raise NotImplementedError

    @classmethod
    def load(cls, options: Any, ctx: Context) -> Backbone:
        """Load the model; with ``ctx.empty`` only its architecture, from ``ctx.folder`` if set.

        Raises:
            BaseMismatchError: ``ctx.identity`` is set and another model was found.
        """
        raise NotImplementedError

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Return exactly one vector per input position, whatever parts have added inside."""
        raise NotImplementedError

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """Tokenize texts or pairs of texts, cut to the longest input."""
        raise NotImplementedError

    def collate(self, inputs: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Tensor]:
        """Pad N inputs to their longest and return tensors (N, T)."""
        raise NotImplementedError

    def generate(self, inputs: Mapping[str, Tensor], length: int) -> Tensor:
        """Return up to ``length`` new token ids per input, (B, length); tag ``generates``."""
        raise NotImplementedError

    def save_config(self, folder: Path) -> None:
        """Write what ``load`` needs to build the empty architecture and to tokenize."""
        raise NotImplementedError

    def export(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return the tensors under the library's own names, if the library can load them as is.

        Args:
            tensors: All tensors of the finished backbone by their path in it.
        """
        return None


class Head(nn.Module):
    """What is predicted from an encoded input; one per task.

    ``columns`` names what it reads; ``metric`` is what the best checkpoint is chosen by, larger
    being better.
    """

    columns: ClassVar[tuple[Column, ...]] = ()
    metric: ClassVar[str] = ""

    def __init__(self, options: Any, task: Task, backbone: Backbone) -> None:
        super().__init__()
        self.options = options
        self.task = task

    @classmethod
    def plan(cls, options: Any, task: Task) -> None:
        """Refuse a task that this head cannot have, before any weight is read.

        Raises:
            DataError: Such as a classification with a single label.
        """

    def features(self, examples: Sequence[Example], backbone: Backbone) -> list[Row]:
        """Turn examples into rows, in order; several rows for one example share its index."""
        raise NotImplementedError

    def observe(self, examples: Sequence[Example]) -> None:
        """Look at the training examples before training; what is learned must be in buffers."""

    def collate(self, rows: Sequence[Row], backbone: Backbone) -> Batch:
        """Turn rows into a batch; targets are stacked where every row has one."""
        targets = [row.target for row in rows]
        known = all(target is not None for target in targets)
        return Batch(
            self.task.name,
            rows,
            backbone.collate([row.inputs for row in rows]),
            torch.tensor(targets) if known else None,
        )

    def forward(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores, first dimension B."""
        raise NotImplementedError

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each row, (B,); apart from ``forward`` so that parts can wrap it."""
        raise NotImplementedError

    def decode(self, scores: Tensor, batch: Batch, model: TaskModel) -> list[Any]:
        """Return what is kept of each row for ``predict``; a generating head calls the backbone."""
        return list(scores.float().cpu())

    def predict(self, decoded: Sequence[Any], rows: Sequence[Row]) -> list[Prediction]:
        """Merge what was kept of the rows into one prediction per example, in order."""
        raise NotImplementedError

    def metrics(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Compare predictions with the examples' targets."""
        raise NotImplementedError


class Wrapper(nn.Module):
    """A module around another, found as ``base_layer``; unknown attributes are the inner one's.

    A wrapper of a linear layer may define ``fold(linear)``, which adds what the wrapper does to
    the plain linear layer given; ``TaskModel.bake`` calls it.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(super().__getattr__("base_layer"), name)


class TaskModel(nn.Module):
    """A backbone and its heads."""

    def __init__(self, backbone: Backbone, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)

    def forward(self, batch: Batch) -> Output:
        """Encode a batch and score it with its task's head."""
        encoded = self.backbone.encode(batch.inputs)
        return Output(encoded, self.heads[batch.task](encoded, batch))

    def head(self, task: str) -> Head:
        """Return a task's head, under whatever was wrapped around it."""
        head = _chain(self.heads[task])[-1]
        assert isinstance(head, Head)
        return head

    # -- where things are

    def get_submodule(self, target: str) -> nn.Module:
        """Return the outermost module at a path; the path need not name wrappers on the way."""
        module: nn.Module = self
        for name in target.split(".") if target else ():
            module = _step(module, name, target)
        return module

    def innermost(self, path: str) -> nn.Module:
        """Return the module at a path under all its wrappers."""
        return _chain(self.get_submodule(path))[-1]

    def linears(self, *roles: str) -> Iterator[tuple[str, nn.Linear]]:
        """Yield path and innermost linear layer of the backbone's layers, by role or all."""
        for path, role in self.backbone.layout.linears.items():
            module = self.innermost(f"backbone.{path}")
            if isinstance(module, nn.Linear) and (not roles or role in roles):
                yield f"backbone.{path}", module

    def layers(self) -> list[nn.Module]:
        """Return the backbone's layers, bottom to top, with what was wrapped around them."""
        return [self.get_submodule(f"backbone.{path}") for path in self.backbone.layout.layers]

    def head_parameters(self) -> frozenset[nn.Parameter]:
        """Return every parameter of every head."""
        return frozenset(self.heads.parameters())

    def body_parameters(self) -> frozenset[nn.Parameter]:
        """Return every parameter of the backbone, with all that parts have added in it."""
        return frozenset(self.backbone.parameters())

    # -- changing them

    def wrap(self, path: str, make: Callable[[nn.Module], nn.Module]) -> None:
        """Put ``make(outermost)``, which must have it as ``base_layer``, in its place."""
        outermost = self.get_submodule(path)
        wrapped = make(outermost)
        if wrapped._modules.get("base_layer") is not outermost:
            raise TypeError(f"{type(wrapped).__name__} does not keep what it wraps as base_layer")
        self._put(path, wrapped)

    def replace(self, path: str, module: nn.Module) -> None:
        """Put ``module`` in the place of the innermost module at a path."""
        chain = _chain(self.get_submodule(path))
        if len(chain) == 1:
            self._put(path, module)
        else:
            chain[-2].base_layer = module

    def bake(self, path: str) -> nn.Linear:
        """Fold parametrizations, then wrappers, into the plain linear layer at a path.

        Exact up to rounding: parametrizations are applied first, because a library's merge into
        a parametrized weight writes to a temporary and is lost.

        Raises:
            IncompatibleError: A wrapper cannot be folded, or the weight is shared.
        """
        chain = _chain(self.get_submodule(path))
        linear = chain[-1]
        if not isinstance(linear, nn.Linear):
            raise IncompatibleError(f"{path} is no linear layer any more, nothing can be folded")
        for name in list(getattr(linear, "parametrizations", ())):
            parametrize.remove_parametrizations(linear, name, leave_parametrized=True)
        if len(chain) > 1:
            self._refuse_shared(path, linear)
        for wrapper in reversed(chain[:-1]):
            if not hasattr(wrapper, "fold"):
                raise IncompatibleError(f"{path}: {type(wrapper).__name__} cannot be folded")
            with torch.no_grad():
                cast(Any, wrapper).fold(linear)
        self._put(path, linear)
        return linear

    def _refuse_shared(self, path: str, linear: nn.Linear) -> None:
        owners = [m for m in self.modules() if m._parameters.get("weight") is linear.weight]
        if len(owners) > 1:
            raise IncompatibleError(
                f"{path}: its weight is shared with another module, so nothing can be folded in"
            )

    def _put(self, path: str, module: nn.Module) -> None:
        parent, _, name = path.rpartition(".")
        holder = self.get_submodule(parent)
        while name not in holder._modules:  # what holds it may be wrapped itself
            inner = holder._modules.get("base_layer")
            assert inner is not None
            holder = inner
        holder._modules[name] = module


def _step(module: nn.Module, name: str, target: str) -> nn.Module:
    for candidate in _chain(module):
        child = candidate._modules.get(name)
        if child is not None:
            return child
    raise AttributeError(f"there is no module {target}: {type(module).__name__} has no {name}")


def _chain(module: nn.Module) -> list[nn.Module]:
    """Return a module and what it wraps, outermost first."""
    chain = [module]
    while (inner := chain[-1]._modules.get("base_layer")) is not None:
        chain.append(inner)
    return chain


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and persistent buffers by name; shared ones once, under the first name."""
    persistent = module.state_dict(keep_vars=True).keys()
    tensors: dict[str, Tensor] = dict(module.named_parameters())
    tensors.update((n, b) for n, b in module.named_buffers() if n in persistent)
    return tensors
