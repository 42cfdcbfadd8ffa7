"""What a model is here: a backbone that encodes, a head per task, and where everything sits.

A ``TaskModel`` gives parts the only ways to reach what they did not make: ``linears``,
``layers``, ``wrap``, ``replace`` and ``bake``. They stay right whatever was wrapped before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from hub_core.batch import Batch as Batch
from hub_core.batch import Encoded as Encoded
from hub_core.batch import Example as Example
from hub_core.batch import Output as Output
from hub_core.batch import Prediction as Prediction
from hub_core.batch import Row as Row
from hub_core.batch import Tokens as Tokens
from hub_core.batch import Words as Words
from hub_core.between import with_layers
from hub_core.declare import Column, Layout, Task
from hub_core.errors import IncompatibleError
from hub_core.identity import Identity
from hub_core.wrapper import Wrapper as Wrapper
from hub_core.wrapper import chain_of, changed_by_folding, fold_in, folds, inside_of_what_stays

if TYPE_CHECKING:
    from hub_core.part import Context


class Backbone(nn.Module):
    """A pre-trained model that turns inputs into one vector per position.

    Args:
        layout: Where things are; a part that removes layers replaces it.
        identity: Fingerprint of the weights as they were loaded.
        tags: What it can do; see ``hub_core.declare.TAGS``.
        pooling: How heads should pool it by default: first, mean, max, last, or pooler for its own.
        fresh: Parameters that the checkpoint did not hold.
    """

    layout: Layout
    identity: Identity
    tags: frozenset[str]
    pooling: str = "mean"

    def __init__(self) -> None:
        super().__init__()
        self.identity = Identity("", "")
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

    @classmethod
    def files(cls, options: Any, ctx: Context) -> dict[str, Path]:
        """Return the files by which others load the same model, by their names in a repository.

        Args:
            options: The recipe's options.
            ctx: With ``identity``, which must be found, and perhaps ``place``.

        Raises:
            IncompatibleError: Models of this kind have no files that could be published.
        """
        raise IncompatibleError(
            "a backbone of this kind cannot be published with the artifact",
            hint="publish it yourself, then use --backbone-id owner/name",
        )

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Return exactly one vector per input position, whatever parts have added inside."""
        raise NotImplementedError

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """Tokenize texts or pairs of texts, cut to the longest input."""
        raise NotImplementedError

    def words(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Words]:
        """Return the word of each position that ``tokenize`` gives; None where there is none."""
        raise IncompatibleError("a backbone of this kind cannot tell which words its positions are")

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

    Attributes:
        reads_layers: Whether ``forward`` uses ``encoded.layers``; its method requires ``layers``.
        output: With the tag ``linear-output``: the layer from ``vector`` to scores.
    """

    columns: ClassVar[tuple[Column, ...]] = ()
    metric: ClassVar[str] = ""
    reads_layers: bool = False
    output: nn.Linear

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

    @classmethod
    def reads(cls, options: Any) -> tuple[Column, ...]:
        """Return the columns that it reads with these options."""
        return cls.columns

    def features(self, examples: Sequence[Example], backbone: Backbone) -> list[Row]:
        """Turn examples into rows, in order; several rows for one example share its index.

        Data that do not fit into memory come in several parts, and rows with plain targets
        (numbers, texts, lists) are stored: a row may depend on its own example only.
        """
        raise NotImplementedError

    def observe(self, examples: Sequence[Example]) -> None:
        """Look at the training examples before training; what is learned must be in buffers."""

    def facts(self) -> dict[str, str]:
        """Return what others must know to apply its weights without it, such as the pooling."""
        return {}

    def advice(self, counts: Mapping[str, int]) -> str:
        """Return what can be done here about rare labels, as a sentence, or an empty text.

        Args:
            counts: Label to number of training examples, some of them much rarer than others.
        """
        return ""

    def grow(self, tensors: Mapping[str, Tensor], labels: Sequence[str]) -> dict[str, Tensor]:
        """Return what this head starts from, if it was trained with fewer labels.

        What belongs to an old label must stay the same to the bit; what belongs to a new one is
        this head's own, as it was initialized.

        Args:
            tensors: The trained head's tensors, by their names in it.
            labels: The labels it was trained with; this head's task has all of them, and more.

        Raises:
            IncompatibleError: This kind of head cannot take more labels.
        """
        raise IncompatibleError(
            f"task {self.task.name}: its head cannot take more labels than it was trained with",
            hint="start with a new head (--new-head), or leave the new labels out of the data",
        )

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

    def attention(self, encoded: Encoded, batch: Batch) -> Tensor | None:
        """Return each position's weight, (B, hops, T), a hop's being 1 in all, padding's 0.

        None where there is nothing to show; tag ``shows-attention``.
        """
        return None

    def vector(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return the vector of each row that ``output`` reads, (B, D); tag ``linear-output``."""
        raise NotImplementedError

    def ideal_scores(self, batch: Batch) -> Tensor:
        """Return what a least-squares fit of ``output`` aims at, (B, C); tag ``linear-output``."""
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


class TaskModel(nn.Module):
    """A backbone and its heads.

    ``shortcut`` may encode a batch from what is known of it already; training sets it.
    """

    def __init__(self, backbone: Backbone, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.shortcut: Callable[[Batch], Encoded | None] | None = None

    def forward(self, batch: Batch) -> Output:
        """Encode a batch and score it with its task's head."""
        encoded = self.encode(batch)
        return Output(encoded, self.heads[batch.task](encoded, batch))

    def encode(self, batch: Batch) -> Encoded:
        """Encode a batch as its task's head reads it."""
        if self.head(batch.task).reads_layers:
            return with_layers(self.layers(), lambda: self.backbone.encode(batch.inputs))
        encoded = None if self.shortcut is None else self.shortcut(batch)
        return self.backbone.encode(batch.inputs) if encoded is None else encoded

    def head(self, task: str) -> Head:
        """Return a task's head, under whatever was wrapped around it."""
        head = chain_of(self.heads[task])[-1]
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
        return chain_of(self.get_submodule(path))[-1]

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

    @contextmanager
    def standing_in(self, others: Mapping[int, nn.Module]) -> Iterator[None]:
        """Put other modules in the places of layers, by number, for as long as this lasts."""
        paths = self.backbone.layout.layers
        before = {number: self.layers()[number] for number in others}
        try:
            for number, module in others.items():
                self._put(f"backbone.{paths[number]}", module)
            yield
        finally:
            for number, module in before.items():
                self._put(f"backbone.{paths[number]}", module)

    def replace(self, path: str, module: nn.Module) -> None:
        """Put ``module`` in the place of the innermost module at a path."""
        chain = chain_of(self.get_submodule(path))
        if len(chain) == 1:
            self._put(path, module)
        else:
            chain[-2].base_layer = module

    def bake(self, path: str) -> nn.Linear:
        """Fold parametrizations, then wrappers, into the plain linear layer at a path.

        A wrapper that ``stays`` is left around it, with what is around that.
        Exact up to rounding: parametrizations are applied first, because a library's merge into
        a parametrized weight writes to a temporary and is lost.

        Raises:
            IncompatibleError: A wrapper cannot be folded, or what would change is shared; nothing
                is changed then.
        """
        holder, chain = inside_of_what_stays(chain_of(self.get_submodule(path)))
        linear = chain[-1]
        if not isinstance(linear, nn.Linear):
            raise IncompatibleError(f"{path} is no linear layer any more, nothing can be folded")
        for wrapper in chain[:-1]:
            if not folds(wrapper):
                raise IncompatibleError(f"{path}: {type(wrapper).__name__} cannot be folded")
        self._refuse_shared(path, linear, wrapped=len(chain) > 1)
        fold_in(chain[:-1], linear)
        if holder is None:
            self._put(path, linear)
        else:
            holder.base_layer = linear
        return linear

    def _refuse_shared(self, path: str, linear: nn.Linear, *, wrapped: bool) -> None:
        """Refuse to change a parameter that another module holds too."""
        for name, parameter in changed_by_folding(linear, wrapped=wrapped):
            held = [m for m in self.modules() for p in m._parameters.values() if p is parameter]
            if len(held) > 1:
                raise IncompatibleError(
                    f"{path}: its {name} is shared with another module, so nothing can be folded in"
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
    for candidate in chain_of(module):
        child = candidate._modules.get(name)
        if child is not None:
            return child
    raise AttributeError(f"there is no module {target}: {type(module).__name__} has no {name}")


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and persistent buffers by name; shared ones once, under the first name."""
    persistent = module.state_dict(keep_vars=True).keys()
    tensors: dict[str, Tensor] = dict(module.named_parameters())
    tensors.update((n, b) for n, b in module.named_buffers() if n in persistent)
    return tensors
