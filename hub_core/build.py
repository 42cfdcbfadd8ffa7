"""From a recipe to a model with its parts; every incompatibility is told before weights are read.

``plan`` resolves names, options and tags. ``assemble`` builds: backbone, part state, ``reshape``
of all parts, heads, ``prepare`` of all parts. Loading an artifact replays the same two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hub_core.catalog import Catalog, Provided
from hub_core.declare import AT_START, Tags, Task, meaning
from hub_core.errors import (
    AmbiguousMethodError,
    HubError,
    IncompatibleError,
    IntegrityError,
    OptionsError,
    PluginError,
    UnknownMethodError,
    listed,
)
from hub_core.model import Backbone, Head, TaskModel, tensors_of
from hub_core.part import Chosen, Context, Part
from hub_core.recipe import Choice, Recipe


@dataclass(frozen=True, slots=True)
class Resolved:
    """A method chosen in a recipe, with its checked options."""

    provided: Provided
    options: Any

    @property
    def label(self) -> str:
        """Kind and name, such as ``strategy lora``."""
        return f"{self.provided.kind} {self.provided.method.name}"

    def tags(self, which: str) -> frozenset[str]:
        """Return the method's ``requires``, ``provides`` or ``removes`` for these options."""
        tags: Tags = getattr(self.provided.method, which)
        return frozenset(tags(self.options) if callable(tags) else tags)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A recipe whose names, options and tags hold.

    Args:
        recipe: The recipe.
        backbone: Its backbone.
        heads: Task name to head.
        parts: Strategies, then compressors, in the recipe's order.
        needs: For each part, the tags that later parts require.
    """

    recipe: Recipe
    backbone: Resolved
    heads: Mapping[str, Resolved]
    parts: tuple[Resolved, ...]
    needs: tuple[frozenset[str], ...]

    def methods(self) -> list[Resolved]:
        """Return all chosen methods: backbone, heads, parts."""
        return [self.backbone, *self.heads.values(), *self.parts]


def plan(recipe: Recipe, catalog: Catalog, ctx: Context) -> Blueprint:
    """Resolve and check a recipe, reading no weights.

    Raises:
        IncompatibleError: Requirements that are not met; all of them are listed.
        OptionsError: Options that do not fit, of all methods together.
        UnknownMethodError: A name that no plugin provides.
        AmbiguousMethodError: A name that several plugins provide.
        PluginError: A plugin that cannot be used.
    """
    backbone, heads, parts = _resolve_all(recipe, catalog)
    able = backbone.tags("provides")
    able |= backbone.provided.factory().plan(backbone.options, ctx)
    problems = _unmet_heads(backbone, heads, able)
    tags = AT_START | able | _head_tags(heads)
    tags |= {"several-tasks" if len(heads) > 1 else "single-task"}
    problems += _unmet_parts(parts, tags)
    if problems and not ctx.restoring:  # what was trained once did compose
        raise IncompatibleError(f"these do not compose:{listed(problems)}",
                                hint="take one of them out, or change the order")  # fmt: skip
    needs = [frozenset().union(*(p.tags("requires") for p in parts[i + 1 :]))
             for i in range(len(parts))]  # fmt: skip
    return Blueprint(recipe, backbone, heads, tuple(parts), tuple(needs))


def _resolve_all(
    recipe: Recipe, catalog: Catalog
) -> tuple[Resolved, dict[str, Resolved], list[Resolved]]:
    """Resolve every choice, gathering what cannot be used of all of them."""
    failures: list[HubError] = []

    def resolve(kind: Any, choice: Choice) -> Any:
        try:
            found = catalog.find(kind, choice.name)
            return Resolved(found, found.options(choice.options))
        except (AmbiguousMethodError, OptionsError, PluginError, UnknownMethodError) as error:
            failures.append(error)
            return None

    backbone = resolve("backbone", recipe.backbone)
    heads = {name: resolve("head", task.head) for name, task in recipe.tasks.items()}
    parts = [resolve("strategy", choice) for choice in recipe.strategies]
    parts += [resolve("compressor", choice) for choice in recipe.compressors]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        text = listed(map(_nested, failures))
        raise type(failures[0])(f"{len(failures)} choices of the recipe cannot be used:{text}")
    return backbone, heads, parts


def _nested(failure: HubError) -> str:
    """Return message and hint as an entry of a list; the lines of a longer one are indented."""
    lines = failure.message.split("\n")
    hint = f"({failure.hint})" if failure.hint else ""
    if len(lines) == 1:
        return f"{lines[0]} {hint}".rstrip()
    return "\n    ".join([*lines, *filter(None, [hint])])


def _unmet_heads(
    backbone: Resolved, heads: Mapping[str, Resolved], able: frozenset[str]
) -> list[str]:
    return [
        f"{head.label} of task {name} needs '{tag}' ({meaning(tag)}), "
        f"which {backbone.label} does not give"
        for name, head in heads.items()
        for tag in sorted(head.tags("requires") - able)
    ]


def _head_tags(heads: Mapping[str, Resolved]) -> frozenset[str]:
    """Return what is true of every head."""
    return frozenset.intersection(*(head.tags("provides") for head in heads.values()))


def _unmet_parts(parts: Sequence[Resolved], tags: frozenset[str]) -> list[str]:
    problems = []
    taker: dict[str, str] = {}
    for part in parts:
        for tag in sorted(part.tags("requires") - tags):
            who = f"{taker[tag]} has taken it away" if tag in taker else "nothing here gives it"
            problems.append(f"{part.label} needs '{tag}' ({meaning(tag)}), but {who}")
        taker.update(dict.fromkeys(part.tags("removes"), part.label))
        tags = (tags | part.tags("provides")) - part.tags("removes")
    return problems


ANEW: Mapping[str, Any] = MappingProxyType({})
"""In the place of a part's state: there is none to take over."""


@dataclass(slots=True)
class Built:
    """A model with its parts, ready to train or to be filled.

    Args:
        model: The model.
        parts: Its parts, in order.
        contexts: Each part's context.
        base: Parameters of the untouched backbone.
        base_buffers: Its persistent buffers, with a copy of their values.
        names: Every parameter's name after the last ``prepare``.
        touched: Parameters of the backbone that do not start from its checkpoint's values.
        decided: The parts that were given their state.
    """

    model: TaskModel
    parts: list[Part]
    contexts: list[Context]
    base: Chosen
    base_buffers: dict[str, tuple[Tensor, Tensor]]
    names: dict[nn.Parameter, str]
    touched: Chosen = frozenset()
    decided: frozenset[Part] = frozenset()

    def delta(self, chosen: Iterable[nn.Parameter]) -> dict[str, Tensor]:
        """Return all that is not an untouched base tensor, by name.

        Args:
            chosen: Every parameter that was ever chosen.
        """
        touched = self.touched.union(chosen)
        buffers = {id(now): (now, old) for now, old in self.base_buffers.values()}
        delta = {}
        for name, tensor in tensors_of(self.model).items():
            if isinstance(tensor, nn.Parameter):
                keep = tensor not in self.base or tensor in touched
            else:
                keep = id(tensor) not in buffers or not torch.equal(*buffers[id(tensor)])
            if keep:
                delta[name] = tensor
        return delta

    def check_unchanged(self) -> None:
        """Assert that no parameter came or went since the last ``prepare``."""
        if set(self.model.parameters()) != set(self.names):
            raise RuntimeError("a part added or removed parameters outside reshape and prepare")

    def observe(self) -> None:
        """Let every part that has not decided yet look at the data; random state is left alone."""
        self.model.eval()
        with torch.random.fork_rng(devices=[]):
            for part, ctx in zip(self.parts, self.contexts, strict=True):
                if part not in self.decided:
                    part.observe(self.model, ctx)

    def finalize(self, before: Callable[[int], None] = lambda _: None) -> None:
        """Turn the trained model into the served one, and check that it is plain.

        Args:
            before: Told the number of each part when its turn comes.
        """
        for number, (part, ctx) in enumerate(zip(self.parts, self.contexts, strict=True)):
            with torch.no_grad():
                before(number)
                part.finalize(self.model, ctx)
        for name, module in self.model.named_modules():
            if parametrize.is_parametrized(module):
                raise RuntimeError(f"a part left a parametrization on {name} after finalize")
        self.model.eval().requires_grad_(False)

    def part_states(self) -> list[dict[str, Any]]:
        """Return every part's state."""
        return [part.state_dict() for part in self.parts]


def assemble(
    blueprint: Blueprint,
    tasks: Sequence[Task],
    ctx: Context,
    states: Sequence[Mapping[str, Any]] | None = None,
    begin: Callable[[Backbone], frozenset[Tensor]] | None = None,
) -> Built:
    """Build the model; global random state is left as it was found.

    Args:
        blueprint: What to build.
        tasks: The tasks with their labels, in the blueprint's order.
        ctx: The context; each part gets it with its own ``needs``.
        states: Each part's state, when an artifact or a checkpoint is replayed; ``ANEW`` for a
            part that decides anew.
        begin: Gives the backbone other values than its checkpoint's before any part sees it, and
            returns the tensors that it changed.
    """
    seed = blueprint.recipe.training.seed
    ctx = replace(ctx, tasks=tuple(tasks), generator=torch.Generator().manual_seed(seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone: Backbone = blueprint.backbone.provided.factory().load(
            blueprint.backbone.options, ctx
        )
        changed = frozenset() if begin is None else begin(backbone)
        parts = [part.provided.factory()(part.options) for part in blueprint.parts]
        given = {n: state for n, state in enumerate(states or ()) if state is not ANEW}
        for number, state in given.items():
            _restore(parts[number], blueprint.parts[number].label, state)
        contexts = [replace(ctx, needs=needs) for needs in blueprint.needs]
        model = TaskModel(backbone, {})
        for part, own in zip(parts, contexts, strict=True):
            part.reshape(model, own)
        for task in tasks:
            model.heads[task.name] = _head(blueprint.heads[task.name], task, backbone)
        model.to(ctx.device)  # before the snapshot: moving a buffer makes a new object
        base = frozenset(backbone.parameters()) - backbone.fresh
        buffers = _snapshot(backbone, changed)
        for part, own in zip(parts, contexts, strict=True):
            part.prepare(model, own)
        model.to(ctx.device)
    names = {parameter: name for name, parameter in model.named_parameters()}
    touched, decided = base.intersection(changed), frozenset(parts[number] for number in given)
    return Built(model, parts, contexts, base, buffers, names, touched, decided)


def _snapshot(backbone: Backbone, changed: frozenset[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the base buffers with a copy of their values; none if some were changed before.

    A part may have put new buffers in the places of the changed ones, so all of them are kept.
    """
    if any(not isinstance(tensor, nn.Parameter) for tensor in changed):
        return {}
    return {
        name: (tensor, tensor.clone())
        for name, tensor in tensors_of(backbone).items()
        if not isinstance(tensor, nn.Parameter)
    }


def _restore(part: Part, label: str, state: Mapping[str, Any]) -> None:
    try:
        part.load_state_dict(state)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"the stored state of {label} does not fit it: {error!r}") from error


def _head(resolved: Resolved, task: Task, backbone: Backbone) -> Head:
    head: Head = resolved.provided.factory()(resolved.options, task, backbone)
    return head
