"""One method with one case's options: its recipe, its company, and the runs that checks look at."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from hub_core.build import plan
from hub_core.catalog import Catalog, Plugin, Provided
from hub_core.declare import Kind
from hub_core.errors import IncompatibleError, listed
from hub_core.jobs import Result, train
from hub_core.model import TaskModel
from hub_core.part import Context
from hub_core.recipe import parse
from hub_core.testing.examples import rows_for
from hub_core.testing.expecting import ConformanceError
from hub_core.testing.rehearsal import Rehearsal, rehearse

TOY = "hub-testing:toy-"
BODIES = tuple(f"{TOY}{name}" for name in ("stack", "causal", "recurrent"))
HEADS = tuple(f"{TOY}{name}" for name in ("label", "words"))
STRATEGIES = tuple(f"{TOY}{name}" for name in ("open", "beside", "thaw"))
COMPRESSORS = tuple(f"{TOY}{name}" for name in ("mask", "cut", "round"))
TRAINING: Mapping[str, Any] = {
    "epochs": 6, "precision": "fp32", "device": "cpu", "threads": 1, "seed": 5, "batch_examples": 8,
}  # fmt: skip
TRAIN_ROWS, HELD_ROWS = 32, 8

Choice = str | Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a suite's class says about its method.

    Args:
        method: Its name, perhaps with its plugin's.
        kind: Its kind.
        backbone: The backbone it is tried on; by default the first toy that can be used.
        head: The head it is tried with; the same.
        backbones: Label to further backbones that it must work with.
        training: What differs from the suites' training section.
        data: ``data(count, seed)`` gives rows; by default made for what the head reads.
        tolerance: Largest change of the outputs by a compressor, as a share of their scale.
        figures: What a compressor reports, measured on the finished model.
        plugins: Plugins that are not installed.
    """

    method: str
    kind: Kind
    backbone: Choice | None = None
    head: Choice | None = None
    backbones: Mapping[str, Choice] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    data: Callable[[int, int], Rows] | None = None
    tolerance: float = 0.0
    figures: Mapping[str, Callable[[TaskModel], float]] = field(default_factory=dict)
    plugins: tuple[Plugin, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """The backbone, the head and the tasks with which a method can be tried."""

    backbone: Choice
    head: Choice
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a method got on in one company: an artifact, a refusal, or what went wrong."""

    folder: Path | None = None
    refused: str = ""
    failed: str = ""


class Interrupted(BaseException):
    """What a power cut looks like from inside."""


class Trial:
    """A method with a case's options.

    Args:
        terms: What its suite says.
        provided: The method.
        options: The case's options.
        catalog: The plugins.
        folder: A scratch folder of its own.
    """

    def __init__(
        self,
        terms: Terms,
        provided: Provided,
        options: Mapping[str, Any],
        catalog: Catalog,
        folder: Path,
    ) -> None:
        self.terms, self.provided, self.options = terms, provided, options
        self.catalog, self.folder = catalog, folder
        self.choice: dict[str, Any] = {"name": provided.full_name, **options}

    # -- recipes

    @cached_property
    def setting(self) -> Setting:
        """The first company in which nothing refuses the method.

        Raises:
            ConformanceError: Every one does.
        """
        kind, terms = self.terms.kind, self.terms
        bodies = [terms.backbone] if terms.backbone else BODIES
        heads = [terms.head] if terms.head else HEADS
        tasks = (("main",), ("main", "other"))
        refusals: list[str] = []
        for names, head, body in product(
            tasks,
            [self.choice] if kind == "head" else heads,
            [self.choice] if kind == "backbone" else bodies,
        ):
            setting = Setting(body, head, names)
            refused = self.refusal(self.recipe(setting=setting))
            if not refused:
                return setting
            refusals += [line for line in refused.splitlines()[1:] if line not in refusals]
        raise ConformanceError(
            f"{self.provided.full_name} is refused with every toy, so it cannot be tried: give the "
            f"suite a backbone and a head that it can work with:\n" + "\n".join(refusals)
        )

    def recipe(
        self,
        *,
        setting: Setting | None = None,
        before: Sequence[Choice] = (),
        after: Sequence[Choice] = (),
        strategies: Sequence[Choice] = (f"{TOY}open",),
        compressors: Sequence[Choice] = (),
        **training: Any,
    ) -> dict[str, Any]:
        """Return a recipe with the method in it.

        Args:
            setting: Its backbone, head and tasks; the usual one by default.
            before: What comes before the method, of its own kind.
            after: What comes after it, of its own kind.
            strategies: The strategies, where the method is none.
            compressors: The compressors, where the method is none.
            training: What differs in the training section.
        """
        setting = setting or self.setting
        own = [*before, self.choice, *after]
        kind = self.terms.kind
        return {
            "backbone": setting.backbone,
            "tasks": {name: {"head": setting.head} for name in setting.tasks},
            "strategies": own if kind == "strategy" else list(strategies),
            "compressors": own if kind == "compressor" else list(compressors),
            "training": {**TRAINING, **self.terms.training, **training},
        }

    def refusal(self, recipe: Mapping[str, Any]) -> str:
        """Return why a recipe is refused before weights are read, or an empty text."""
        try:
            plan(parse(recipe), self.catalog, Context())
        except IncompatibleError as error:
            return error.message
        return ""

    def data(self, recipe: Mapping[str, Any]) -> dict[str, dict[str, Rows]]:
        """Return toy data for every task of a recipe, by split."""
        return {
            name: {
                "train": self.rows(task["head"], TRAIN_ROWS, seed),
                "validation": self.rows(task["head"], HELD_ROWS, 100 + seed),
            }
            for seed, (name, task) in enumerate(recipe["tasks"].items())
        }

    def rows(self, head: Choice, count: int, seed: int) -> Rows:
        """Return rows that a head reads."""
        if self.terms.data is not None:
            return self.terms.data(count, seed)
        chosen = {"name": head} if isinstance(head, str) else dict(head)
        provided = self.catalog.find("head", chosen.pop("name"))
        columns = provided.factory().reads(provided.options(chosen))
        return rows_for(columns, count, seed)

    # -- runs

    @cached_property
    def straight(self) -> Result:
        """The method trained from beginning to end and saved."""
        return self.train("straight")

    def train(self, name: str, recipe: Mapping[str, Any] | None = None, **others: Any) -> Result:
        """Train and save.

        Args:
            name: The artifact's folder in the trial's own.
            recipe: The recipe; the usual one by default.
            others: What ``hub_core.train`` takes besides.
        """
        recipe = self.recipe() if recipe is None else recipe
        values = {"data": self.data(recipe), "catalog": self.catalog, "prove": False, **others}
        return train(recipe, out=self.folder / name, **values)

    def rehearse(
        self,
        recipe: Mapping[str, Any] | None = None,
        states: Sequence[Mapping[str, Any]] | None = None,
    ) -> Rehearsal:
        """Assemble the method's model, to look at it step by step."""
        recipe = self.recipe() if recipe is None else recipe
        return rehearse(recipe, self.data(recipe), self.catalog, states)

    # -- company

    @cached_property
    def company(self) -> dict[str, Outcome]:
        """How it gets on with every toy, by the toy's name and place."""
        return {name: self._meet(name, recipe) for name, recipe in self._meetings()}

    def _meet(self, name: str, recipe: Mapping[str, Any]) -> Outcome:
        if refused := self.refusal(recipe):
            return Outcome(refused=refused)
        place = name.replace(" ", "-")
        shutil.rmtree(self.folder / place, ignore_errors=True)
        try:
            self.train(place, recipe)
        except Exception as error:  # whatever it raises is what is found
            return Outcome(failed=f"{type(error).__name__}: {error}")
        return Outcome(self.folder / place)

    def _meetings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        terms, kind, usual = self.terms, self.terms.kind, self.setting
        few: dict[str, Any] = {"epochs": 2}
        if kind in ("strategy", "compressor"):
            for toy in STRATEGIES if kind == "strategy" else COMPRESSORS:
                yield f"after {bare(toy)}", self.recipe(before=[toy], **few)
                yield f"before {bare(toy)}", self.recipe(after=[toy], **few)
        if kind != "strategy":
            for toy in STRATEGIES[1:]:
                yield f"with {bare(toy)}", self.recipe(strategies=[toy], **few)
        if kind != "compressor":
            for toy in COMPRESSORS:
                yield f"with {bare(toy)}", self.recipe(compressors=[toy], **few)
        if kind != "backbone":
            for name, body in {**{bare(toy): toy for toy in BODIES}, **terms.backbones}.items():
                setting = Setting(body, usual.head, usual.tasks)
                yield f"on {name}", self.recipe(setting=setting, **few)
        if kind != "head":
            for toy in HEADS:
                setting = Setting(usual.backbone, toy, usual.tasks)
                yield f"under {bare(toy)}", self.recipe(setting=setting, **few)
        both = Setting(usual.backbone, usual.head, ("main", "other"))
        yield "in two tasks", self.recipe(setting=both, **few)

    def refusals(self) -> dict[str, str]:
        """Return what it is refused with, and why."""
        return {name: found.refused for name, found in self.company.items() if found.refused}


def bare(name: str) -> str:
    """Return a method's name without its plugin's."""
    return name.rpartition(":")[2]


def as_list(lines: Mapping[str, str]) -> str:
    """Return what was found about several things as an indented list."""
    return listed(f"{name}: {text}" for name, text in lines.items())
