"""Training that starts from a trained artifact: its tensors become the new model's first values.

Two ways. Where the strategies are the same, what was trained is filled in by name, and equal parts
keep their decisions. Elsewhere the artifact is finished, adapters are folded into plain weights,
and the new parts begin on a backbone with these weights; those that are not the pre-trained ones
count as touched, so that what is saved is complete. What fits neither way is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hub_core import loading
from hub_core.build import ANEW, Blueprint, Built, assemble, plan
from hub_core.catalog import Catalog
from hub_core.data import TaskData
from hub_core.declare import Task
from hub_core.errors import BaseMismatchError, IncompatibleError, RecipeError, listed
from hub_core.model import Backbone, Head, TaskModel, tensors_of
from hub_core.origin import NEW_HEAD, Origin
from hub_core.part import Context
from hub_core.recipe import Recipe, parse, read
from hub_core.recorded import identity_of
from hub_core.tasks import read_data
from hub_core.training import fill

log = logging.getLogger("hub_core")

State = Mapping[str, Any]
PartKey = tuple[str, str, Any]
"""Kind, full name and options of a part."""
SHOWN = 5
"""Tensors that a refusal lists before it only counts."""


class Start:
    """A run's start from an artifact.

    Args:
        origin: The artifact.
        recipe: What is laid over its recipe: a mapping, a file, a whole recipe, or nothing.
        catalog: The plugins.

    Attributes:
        recipe: The recipe of the run.
        way: How the tensors are taken over, for people; known after ``assemble``.
    """

    def __init__(
        self,
        origin: Origin,
        recipe: Recipe | Mapping[str, Any] | str | Path | None,
        catalog: Catalog,
    ) -> None:
        self.origin, self.catalog, self.way = origin, catalog, ""
        if not isinstance(recipe, Recipe):
            source = str(recipe) if isinstance(recipe, str | Path) else "recipe"
            values = read(recipe) if isinstance(recipe, str | Path) else recipe or {}
            recipe = parse(origin.laid_over(values, catalog), source=source)
        self.recipe, self._place = origin.settle(recipe, catalog)
        self._heads: dict[str, Tensor] = {}

    def plan(
        self, ctx: Context, data: Any, folder: Path | None = None
    ) -> tuple[Blueprint, dict[str, TaskData], Context]:
        """Resolve and check the recipe, and read the data.

        Returns:
            The blueprint, the data, and the context in which the artifact's backbone is found.

        Raises:
            HubError: Whatever is wrong with recipe or data, or does not fit the artifact.
        """
        blueprint, ctx = self.plan_without_data(ctx)
        self._warn_of_its_rate(blueprint)
        found = read_data(blueprint, data, folder, extend=not self.origin.new_head)
        return self.origin.check_labels(blueprint, found), found, ctx

    def plan_without_data(self, ctx: Context) -> tuple[Blueprint, Context]:
        """Resolve and check the recipe; return the context in which the backbone is found.

        Raises:
            HubError: Whatever is wrong with the recipe, or does not fit the artifact.
        """
        ctx = replace(ctx, identity=identity_of(self.origin.content), place=self._place)
        blueprint = plan(self.recipe, self.catalog, ctx)
        self.origin.check(blueprint, self.catalog)
        return blueprint, ctx

    def _warn_of_its_rate(self, blueprint: Blueprint) -> None:
        """Tell where a learning rate that was chosen for other strategies is taken over."""
        rate = self.origin.recipe.training.learning_rate
        same = _strategies(self._old_parts()) == _strategies(_parts_of(blueprint))
        if rate is not None and rate == self.recipe.training.learning_rate and not same:
            log.warning("the learning rate %g was chosen for the strategies of %s; "
                        "--learning-rate gives these another", rate, self.origin.name)  # fmt: skip

    def lineage(self, found: Mapping[str, TaskData]) -> list[dict[str, Any]]:
        """Return the artifact's own lineage, and the step from it to this run."""
        return [*self.origin.content.lineage, self.origin.step(found)]

    def summary(self, found: Mapping[str, TaskData]) -> dict[str, Any]:
        """Return what the run starts from and how, in a few words."""
        return {"from": self.origin.name, "hub.json": self.origin.sha256, "way": self.way} | {
            key: value
            for key, value in self.origin.step(found).items()
            if key in ("new_head", "added_labels")
        }

    # -- the backbone's side

    def assemble(
        self,
        blueprint: Blueprint,
        tasks: Sequence[Task],
        ctx: Context,
        states: Sequence[State] | None = None,
    ) -> Built:
        """Build the model, its backbone's side filled; ``fill_heads`` does the rest.

        Args:
            blueprint: What to build.
            tasks: Its tasks, with all their labels.
            ctx: The context of ``plan``.
            states: Each part's state where a checkpoint is resumed.

        Raises:
            IncompatibleError: The artifact cannot be taken over by these parts.
            BaseMismatchError: The backbone that was found is another one.
        """
        built = self._go_on(blueprint, tasks, ctx, states)
        if built is None:
            built = self._begin_on_plain_weights(blueprint, tasks, ctx, states)
        found, wanted = built.model.backbone.identity, self.origin.content.backbone
        if (found.fingerprint, found.config) != (wanted.fingerprint, wanted.config):
            raise BaseMismatchError(
                f"the backbone has fingerprint {found.fingerprint[:16]}…, {self.origin.folder} "
                f"was trained on {wanted.fingerprint[:16]}…",
                hint="say where the right one is with --backbone",
            )
        return built

    def _go_on(
        self,
        blueprint: Blueprint,
        tasks: Sequence[Task],
        ctx: Context,
        states: Sequence[State] | None,
    ) -> Built | None:
        """Fill what was trained in by name, or return None where the names are others."""
        carried = self._carried(blueprint)
        if carried is None:
            return None
        content = self.origin.content
        body, heads = _apart(loading.read_tensors(self.origin.folder, content))
        built = assemble(blueprint, tasks, ctx, carried if states is None else states)
        if not _fits(built, body, everything=content.form == "whole"):
            return None
        known = tensors_of(built.model)
        built.touched = frozenset(
            parameter
            for name, tensor in body.items()
            if isinstance(parameter := known[name], nn.Parameter)
            and parameter in built.base
            and not _equal(parameter, tensor)
        )
        fill(built.model, body)
        self._heads = heads
        self.way = "goes on with what was trained"
        return built

    def _carried(self, blueprint: Blueprint) -> list[State] | None:
        """Return the state of every part that the artifact has too, or None for another way.

        The strategies must be the same, and no decision may be lost: a part with a state stays.
        """
        old, new = self._old_parts(), _parts_of(blueprint)
        if _strategies(old) != _strategies(new):
            return None
        states = loading.states_of(self.origin.folder, self.origin.content)
        left = list(range(len(old)))
        carried: list[State] = []
        for part in new:
            same = next((number for number in left if old[number] == part), None)
            carried.append(ANEW if same is None else states[same])
            left = [number for number in left if number != same]
        return None if any(states[number] for number in left) else carried

    def _old_parts(self) -> list[PartKey]:
        """Return what the artifact's parts are told apart by."""
        recipe = self.origin.recipe
        choices = [("strategy", choice) for choice in recipe.strategies]
        choices += [("compressor", choice) for choice in recipe.compressors]
        parts = []
        for kind, choice in choices:
            found = self.catalog.find(kind, choice.name)  # type: ignore[arg-type]
            parts.append((kind, found.full_name, found.options(choice.options)))
        return parts

    def _begin_on_plain_weights(
        self,
        blueprint: Blueprint,
        tasks: Sequence[Task],
        ctx: Context,
        states: Sequence[State] | None,
    ) -> Built:
        """Give the new parts a backbone with the artifact's finished weights."""
        body, self._heads = _apart(self._plain_tensors(empty=ctx.empty))
        self.way = "begins on its finished weights"

        def begin(backbone: Backbone) -> frozenset[Tensor]:
            known = {f"backbone.{name}": tensor for name, tensor in tensors_of(backbone).items()}
            self._refuse_other_form(known, body)
            changed = frozenset(t for name, t in known.items() if not _equal(t, body[name]))
            fill(backbone, {name.removeprefix("backbone."): t for name, t in body.items()})
            return changed

        return assemble(blueprint, tasks, ctx, states, begin)

    def _plain_tensors(self, *, empty: bool) -> dict[str, Tensor]:
        """Return the artifact's tensors, all that can be folded being folded in."""
        origin = self.origin
        model = loading.replay(
            origin.folder,
            origin.content,
            place=self._place,
            seed=self.recipe.training.seed if empty else None,
        ).model
        try:
            for path, _ in list(model.linears()):
                model.bake(path)
        except IncompatibleError as error:
            raise self._refusal([error.message]) from None
        return tensors_of(model)

    def _refuse_other_form(self, known: Mapping[str, Tensor], body: Mapping[str, Tensor]) -> None:
        problems = [f"{name} is gone" for name in sorted(set(known) - set(body))]
        problems += [f"{name} is more than it has" for name in sorted(set(body) - set(known))]
        problems += _misfits(known, body)
        if problems:
            raise self._refusal(problems)

    def _refusal(self, problems: Sequence[str]) -> IncompatibleError:
        """Return why the artifact's finished weights cannot be begun on, and what to do."""
        recipe, content = self.origin.recipe, self.origin.content
        names = ", ".join(c.name.rpartition(":")[2] for c in recipe.strategies + recipe.compressors)
        hint = f"start from an artifact that was trained without what does this; it has {names}"
        if content.form == "delta":
            hint = f"keep its strategies and compressors ({names}), or {hint.rpartition(';')[0]}"
        return IncompatibleError(
            f"{self.origin.folder} cannot be started from with these parts: finished, it is not "
            f"the plain backbone that it began with:{_some(problems)}",
            hint=hint,
        )

    # -- the heads' side

    def fill_heads(self, built: Built) -> None:
        """Fill the heads, after they have observed the training data: what they knew stays.

        Raises:
            IncompatibleError: A head cannot take more labels, or its tensors do not fit.
        """
        if self.origin.new_head:
            return
        for name in built.model.heads:
            start = f"heads.{name}."
            own = {key: t for key, t in self._heads.items() if key.startswith(start)}
            self._fill_head(built.model, name, own)

    def _fill_head(self, model: TaskModel, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Fill one head, whether or not the same was wrapped around it when it was trained."""
        head, labels = model.head(name), self.origin.content.tasks[name].labels
        outer = f"heads.{name}."
        known = {key: t for key, t in tensors_of(model).items() if key.startswith(outer)}
        inner = f"{_path_of(model, head)}."
        alone = {inner + key.removeprefix(outer): t for key, t in tensors.items()}
        within = {key: t for key, t in known.items() if key.startswith(inner)}
        if set(tensors) != set(known) and set(alone) == set(within):  # nothing was around it then
            tensors, known = alone, within
        if len(head.task.labels) > len(labels):
            own = {k.removeprefix(inner): t for k, t in tensors.items() if k.startswith(inner)}
            grown = {inner + key: t for key, t in head.grow(own, labels).items()}
            tensors = {**tensors, **grown}
        problems = [f"{key} is gone" for key in sorted(set(known) - set(tensors))]
        problems += [f"{key} is more than it has" for key in sorted(set(tensors) - set(known))]
        if problems := problems + _misfits(known, tensors):
            raise IncompatibleError(
                f"{self.origin.folder} cannot be started from with these parts: the head of task "
                f"{name} has other tensors:{_some(problems)}",
                hint=f"keep its strategies and compressors, or {NEW_HEAD}",
            )
        anew = {inner + key for key in self._set_by_options(name, head, model.backbone)}
        fill(model, {key: tensor for key, tensor in tensors.items() if key not in anew})

    def _set_by_options(self, name: str, head: Head, backbone: Backbone) -> set[str]:
        """Return the buffers of a head that its options set, where those are others now."""
        before = self.origin.head_options(name, self.catalog)
        if before == head.options:
            return set()
        with torch.random.fork_rng(devices=[]):
            old, new = (type(head)(options, head.task, backbone).state_dict()
                        for options in (before, head.options))  # fmt: skip
        trained = dict(head.named_parameters())
        return {
            key
            for key, tensor in new.items()
            if key not in trained and (key not in old or not torch.equal(tensor, old[key]))
        }


def start_from(
    reference: str | Path | Origin | None,
    recipe: Recipe | Mapping[str, Any] | str | Path | None,
    catalog: Catalog,
    *,
    new_head: bool = False,
    add_labels: bool = False,
) -> Start | None:
    """Return the start from an artifact, or None where there is no artifact to start from.

    Raises:
        HubError: The artifact or the recipe cannot be used.
    """
    if isinstance(reference, Origin):
        return Start(reference, recipe, catalog)
    if reference is not None:
        origin = Origin.open(reference, new_head=new_head, add_labels=add_labels)
        return Start(origin, recipe, catalog)
    if new_head or add_labels:
        raise RecipeError(
            "--new-head and --add-labels say how to start from an artifact, and there is none",
            hint="name its folder with --from",
        )
    return None


def _parts_of(blueprint: Blueprint) -> list[PartKey]:
    return [(p.provided.kind, p.provided.full_name, p.options) for p in blueprint.parts]


def _strategies(parts: Sequence[PartKey]) -> list[PartKey]:
    return [part for part in parts if part[0] == "strategy"]


def _apart(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of the backbone's side, and those of the heads."""
    heads = {name: t for name, t in tensors.items() if name.startswith("heads.")}
    return {name: t for name, t in tensors.items() if name not in heads}, heads


def _fits(built: Built, body: Mapping[str, Tensor], *, everything: bool) -> bool:
    """Return whether tensors are the backbone side's: all of it, or all that is not base."""
    known, _ = _apart(tensors_of(built.model))
    needed, _ = _apart(known if everything else built.delta(()))
    return set(needed) <= set(body) <= set(known) and not _misfits(known, body)


def _misfits(known: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} has shape {list(tensor.shape)}, not {list(known[name].shape)}"
        for name, tensor in sorted(tensors.items())
        if name in known and tensor.shape != known[name].shape
    ]


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.detach(), other.detach().to(one.device, one.dtype))


def _path_of(model: TaskModel, head: Head) -> str:
    paths: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
    return paths[head]


def _some(problems: Iterable[str]) -> str:
    lines = list(problems)
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return listed(lines[:SHOWN] + more)
