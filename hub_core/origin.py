"""The artifact that a run starts from: where it is, the recipe it brings, and what must fit.

Everything here is read from ``hub.json``; ``hub_core.start`` takes the tensors over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hub_core import manifest
from hub_core.build import Blueprint, Resolved
from hub_core.catalog import Catalog
from hub_core.data import TaskData
from hub_core.errors import (
    BaseMismatchError,
    DataError,
    FormatError,
    RecipeError,
    listed,
    near,
)
from hub_core.identity import sha256_of
from hub_core.manifest import Manifest
from hub_core.recipe import Choice, Recipe, TaskRecipe
from hub_core.recorded import recipe_of
from hub_core.remote.found import find
from hub_core.remote.pull import Wishes

NEW_HEAD = "start with new heads for other tasks or labels: --new-head"


@dataclass(frozen=True, slots=True)
class Origin:
    """A trained artifact that a run starts from.

    Args:
        folder: Where it is.
        content: What its ``hub.json`` holds.
        sha256: Of ``hub.json``, which names every other file's.
        recipe: Its recipe, every method named by its plugin.
        new_head: Only the backbone side starts from it; heads are new.
        add_labels: Labels of the new data that it does not have are added to its own.
        address: ``owner/name@commit`` where it was fetched from the Hub, else empty.
    """

    folder: Path
    content: Manifest
    sha256: str
    recipe: Recipe
    new_head: bool = False
    add_labels: bool = False
    address: str = ""

    @classmethod
    def open(
        cls,
        reference: str | Path,
        *,
        new_head: bool = False,
        add_labels: bool = False,
        wishes: Wishes | None = None,
    ) -> Origin:
        """Find an artifact, pulled with ``wishes`` if it is on the Hub, and check its files.

        Raises:
            ArtifactError: It is no artifact, or not what was saved.
            RecipeError: Heads cannot be new and have old labels.
            FormatError: It is on the Hub, and another library wrote it.
        """
        if new_head and add_labels:
            raise RecipeError(
                "--new-head and --add-labels exclude each other",
                hint="a new head takes its labels from the data",
            )
        found = find(reference, wishes)
        if not found.ours and found.address:
            raise FormatError(
                f"{reference} was not saved by hub-core, so it brings no recipe to go on with",
                hint="name an artifact with --from; a whole model can be a --backbone",
            )
        folder = found.folder
        content = manifest.read(folder)
        manifest.check_files(folder, content)
        recipe = recipe_of(folder, content)
        sha256 = sha256_of(folder / manifest.NAME)
        return cls(folder, content, sha256, recipe, new_head, add_labels, found.address)

    @property
    def name(self) -> str:
        """Its address on the Hub, or the folder's own name without the path to it."""
        return self.address or self.folder.resolve().name

    def key(self) -> dict[str, Any]:
        """Return what must be the same for a run to be resumed."""
        return {"hub.json": self.sha256, "new_head": self.new_head, "add_labels": self.add_labels}

    # -- the recipe

    def laid_over(
        self, values: Mapping[str, Any], catalog: Catalog, *, task: str | None = None
    ) -> dict[str, Any]:
        """Return the artifact's recipe as a mapping, with another one laid over it.

        Data are never taken over. A list of strategies or compressors replaces the artifact's,
        tasks and the training section are laid over it key by key.

        Args:
            values: The mapping of a recipe, which need not be complete.
            catalog: Asked which option of the backbone is its place.
            task: A task that will be laid over later; with new heads it may be another one.

        Raises:
            RecipeError: A task that the artifact does not have, without new heads.
        """
        own = self.recipe.model_dump(mode="json")
        tasks = {name: self._task(name, table) for name, table in own["tasks"].items()}
        given = values.get("tasks", {})
        others = {*given, *([task] if task else [])} if isinstance(given, Mapping) else set()
        if others and self.new_head and not others <= set(tasks):
            tasks = {}
        elif self.new_head and given and isinstance(given, Mapping):
            tasks = {name: table for name, table in tasks.items() if name in given}
        self._refuse_unknown(others - set(tasks))
        whole = {"backbone": self._backbone(catalog), "strategies": own["strategies"],
                 "compressors": own["compressors"], "training": own["training"]}  # fmt: skip
        whole |= {key: value for key, value in values.items() if key not in ("tasks", "training")}
        whole["training"] = _merged(own["training"], values.get("training"))
        whole["tasks"] = tasks
        if isinstance(given, Mapping):
            whole["tasks"] |= {name: _merged(tasks.get(name), new) for name, new in given.items()}
        else:
            whole["tasks"] = given
        return whole

    def _task(self, name: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task without its data; with new heads without its labels and columns too."""
        shares = {
            split: table[split]
            for split in ("validation", "test")
            if isinstance(table[split], int | float)
            and table[split] != TaskRecipe.model_fields[split].default
        }
        if self.new_head:
            return {"head": table["head"], **shares}
        labels = {"labels": known} if (known := self.content.tasks[name].labels) else {}
        return {"head": table["head"], "columns": table["columns"], **labels, **shares}

    def _refuse_unknown(self, names: Iterable[str]) -> None:
        if self.new_head:
            return
        for name in sorted(names):
            known = list(self.content.tasks)
            raise RecipeError(
                f"{self.folder} has no task '{name}'; it has {', '.join(known)}",
                hint=near(name, known) or NEW_HEAD,
            )

    def _backbone(self, catalog: Catalog) -> dict[str, Any]:
        """Return the artifact's choice; of one that is not on the Hub only who it is matters."""
        choice = self.recipe.backbone
        options = choice.options
        if not self.content.backbone.hint:
            options.pop(_place_option(choice, catalog), None)
        return {"name": choice.name, **options}

    def settle(self, recipe: Recipe, catalog: Catalog) -> tuple[Recipe, str]:
        """Return the recipe with what only the artifact knows, and where the backbone should be.

        Raises:
            BaseMismatchError: The recipe names another kind of backbone.
        """
        own, choice = self.recipe.backbone, recipe.backbone
        new, old = (catalog.find("backbone", each.name).full_name for each in (choice, own))
        if new != old:
            raise BaseMismatchError(
                f"{self.folder} was trained on the backbone {old}, the recipe names {new}",
                hint="leave the backbone out: it is found by its fingerprint",
            )
        option, place = _place_option(choice, catalog), ""
        if option in choice.options:
            given = str(choice.options[option])
            known = self.content.backbone.hint and given == own.options.get(option)
            place = "" if known else given
        elif option in own.options:
            backbone = Choice(name=choice.name, **choice.options, **{option: own.options[option]})
            recipe = recipe.model_copy(update={"backbone": backbone})
        return self._labelled(recipe), place

    def _labelled(self, recipe: Recipe) -> Recipe:
        """Name the artifact's labels where the recipe names none."""
        if self.new_head:
            return recipe
        tasks = dict(recipe.tasks)
        for name, task in tasks.items():
            entry = self.content.tasks.get(name)
            if entry is not None and entry.labels and task.labels is None:
                tasks[name] = task.model_copy(update={"labels": list(entry.labels)})
        return recipe.model_copy(update={"tasks": tasks})

    # -- what must fit

    def check(self, blueprint: Blueprint, catalog: Catalog) -> None:
        """Refuse a recipe whose heads are not the artifact's; all reasons at once.

        Raises:
            RecipeError: Other tasks, heads or labels, without new heads.
        """
        if self.new_head:
            return
        self._refuse_unknown(set(blueprint.heads) - set(self.content.tasks))
        problems = [
            f"task {name}: {problem}"
            for name in blueprint.heads
            for problem in (
                *self._head_changes(name, blueprint.heads[name], catalog),
                *self._label_changes(name, blueprint.recipe),
            )
        ]
        if problems:
            raise RecipeError(
                f"{self.folder} has other heads than the recipe:{listed(problems)}", hint=NEW_HEAD
            )

    def _head_changes(self, name: str, new: Resolved, catalog: Catalog) -> list[str]:
        own = catalog.find("head", self.recipe.tasks[name].head.name)
        same = own.full_name == new.provided.full_name
        return [] if same else [f"its head was {own.method.name}, is {new.provided.method.name}"]

    def head_options(self, name: str, catalog: Catalog) -> Any:
        """Return the options that a task's head was trained with."""
        choice = self.recipe.tasks[name].head
        return catalog.find("head", choice.name).options(choice.options)

    def _label_changes(self, name: str, recipe: Recipe) -> list[str]:
        known = self.content.tasks[name].labels
        labels = list(recipe.tasks[name].labels or ())
        if labels == known or (self.add_labels and labels[: len(known)] == known):
            return []
        return [f"its labels were {', '.join(known)}, are {', '.join(labels)}"]

    def check_labels(self, blueprint: Blueprint, found: Mapping[str, TaskData]) -> Blueprint:
        """Return the blueprint with all labels named, after the data were read.

        Raises:
            DataError: The data have labels that the artifact does not know.
        """
        if self.new_head:
            return blueprint
        tasks = dict(blueprint.recipe.tasks)
        for name, task_data in found.items():
            known, labels = self.content.tasks[name].labels, task_data.task.labels
            if not self.add_labels:
                self._refuse_new(name, labels[len(known) :], known)
            if labels:
                tasks[name] = tasks[name].model_copy(update={"labels": list(labels)})
        return replace(blueprint, recipe=blueprint.recipe.model_copy(update={"tasks": tasks}))

    def _refuse_new(self, name: str, new: Sequence[str], known: Sequence[str]) -> None:
        if not new:
            return
        lines = (f"'{label}'{_meant(label, known)}" for label in new[:10])
        more = [f"and {len(new) - 10} more"] if len(new) > 10 else []
        raise DataError(
            f"task {name}: the data have labels that {self.folder} does not know:"
            f"{listed([*lines, *more])}",
            hint="--add-labels adds them to its own, --new-head starts with a new head",
        )

    # -- what is told of it

    def step(self, found: Mapping[str, TaskData]) -> dict[str, Any]:
        """Return a step of lineage, which names no place of this machine."""
        tasks = {
            name: {
                "head": _bare(task.head),
                "labels": self.content.tasks[name].labels,
                "metrics": self.content.tasks[name].metrics,
            }
            for name, task in self.recipe.tasks.items()
        }
        step: dict[str, Any] = {
            "step": "train",
            "from": {
                "name": self.name,
                "hub.json": self.sha256,
                "strategies": [_bare(choice) for choice in self.recipe.strategies],
                "compressors": [_bare(choice) for choice in self.recipe.compressors],
                "tasks": tasks,
            },
        }
        if self.new_head:
            return step | {"new_head": True}
        added = {
            name: list(labels)
            for name, task_data in found.items()
            if (labels := task_data.task.labels[len(self.content.tasks[name].labels) :])
        }
        return step | ({"added_labels": added} if added else {})


def _bare(choice: Choice) -> str:
    return choice.name.rpartition(":")[2]


def _place_option(choice: Choice, catalog: Catalog) -> str:
    """Return the option of a backbone that says where it is, or an empty text."""
    return catalog.find("backbone", choice.name).method.reference


def _merged(own: Mapping[str, Any] | None, new: Any) -> Any:
    """Lay one table over another; what is no table is left for the recipe's own checks."""
    if new is None:
        return dict(own or {})
    return {**(own or {}), **new} if isinstance(new, Mapping) else new


def _meant(label: str, known: Sequence[str]) -> str:
    hint = near(label, known)
    return f"; {hint}" if hint else ""
