"""What a card says, read from ``hub.json`` once, with what installed plugins add to it."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_core import adapter_config, catalog, recipe
from hub_core.declare import NAME, Kind, Method
from hub_core.errors import DataError, HubError
from hub_core.hubdata import PREFIX
from hub_core.hubdata import Reference as Dataset
from hub_core.manifest import Manifest, TaskEntry
from hub_core.recipe import Choice, Recipe, TaskRecipe
from hub_core.remote.reference import Reference, is_reference, parse

PLAIN, CONFIG = "model.safetensors", "config.json"
HELD_OUT = ("test", "validation")
"""Splits that results are told of, best first."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where examples come from.

    Args:
        name: What people call it: a file's name without its folder, or a data set; may be empty.
        dataset: ``owner/name`` of a data set of the Hub, or empty.
        config: Its configuration, or empty.
    """

    name: str
    dataset: str = ""
    config: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A manifest, its recipe, and where its backbone is on the Hub."""

    content: Manifest
    recipe: Recipe
    base: Reference | None

    @property
    def whole(self) -> bool:
        """Whether no backbone is needed."""
        return self.content.form == "whole"

    @property
    def adapter(self) -> bool:
        """Whether PEFT can load the adapter."""
        return adapter_config.NAME in self.content.files

    @property
    def plain(self) -> bool:
        """Whether transformers can load the whole model."""
        return {PLAIN, CONFIG} <= set(self.content.files)

    def names(self, *kinds: Kind) -> list[str]:
        """Return the bare names of methods, in order, each once."""
        return list(dict.fromkeys(m.name for m in self.content.methods if m.kind in kinds))

    def size(self) -> int:
        """Return the bytes of all listed files."""
        return sum(file.size for file in self.content.files.values())


def facts_of(content: Manifest) -> Facts:
    """Return the facts of a manifest.

    Raises:
        RecipeError: What it holds is no recipe.
    """
    hint = content.backbone.hint
    base = parse(hint) if is_reference(hint) else None
    return Facts(content, recipe.parse(content.recipe, source="the recipe in hub.json"), base)


# -- words of the Hub


@functools.cache
def _words() -> Any:
    return tomllib.loads(Path(__file__).with_name("hub_words.toml").read_text("utf-8"))


def library(facts: Facts) -> str:
    """Return the library that opens the artifact."""
    if facts.adapter:
        return "peft"
    return "transformers" if facts.plain else "hub-core"


def relation(facts: Facts) -> str:
    """Return how the model relates to its base; what cannot be known counts as fine-tuned."""
    words = _words()["relations"]
    if facts.adapter or not facts.whole:
        return str(words["part"])
    rounded = any("float-weights" in _removed(choice) for choice in facts.recipe.compressors)
    return str(words["without-float-weights" if rounded else "whole"])


def _removed(choice: Choice) -> frozenset[str]:
    """Return the tags that do not hold after a compressor; none where it is not installed."""
    try:
        found = catalog.installed().find("compressor", choice.name)
        tags = found.method.removes
        return tags(found.options(choice.options)) if callable(tags) else tags
    except HubError:
        return frozenset()


def pipeline(facts: Facts, task: str) -> str:
    """Return what the Hub calls a task, or nothing where its head does not say."""
    head = facts.recipe.tasks.get(task)
    method = method_of("head", head.head.name) if head else None
    return method.pipeline_tag if method else ""


def method_of(kind: Kind, name: str) -> Method | None:
    """Return an installed method, or None."""
    try:
        return catalog.installed().find(kind, name).method
    except HubError:
        return None


def tags(facts: Facts) -> list[str]:
    """Return the tags by which the Hub's search finds the model."""
    names = facts.names("strategy", "compressor", "head")
    return list(dict.fromkeys(["hub-core", *(name for name in names if NAME.fullmatch(name))]))


# -- data


def inputs_of(entry: TaskEntry) -> list[str]:
    """Return the roles that a task reads: heads name what they predict last."""
    return list(entry.columns)[:-1]


def source_of(facts: Facts, task: str, split: str) -> Source:
    """Return where the examples of a split come from; what was given in memory has no name."""
    found = facts.recipe.tasks.get(task)
    named = _named(found, split) if found else []
    return _joined([_source(name) for name in named])


def _named(task: TaskRecipe, split: str) -> list[str]:
    own = getattr(task, split, None)
    value = task.data if own is None or isinstance(own, float) else own
    return [value] if isinstance(value, str) else list(value or ())


def _source(text: str) -> Source:
    if text.startswith(PREFIX):
        try:
            found = Dataset.parse(text)
        except DataError:
            return Source(text.removeprefix(PREFIX))
        return Source(found.name, found.name, found.config or "")
    return Source(re.split(r"[/\\]", text.rstrip("/\\"))[-1])


def _joined(sources: list[Source]) -> Source:
    if len(sources) == 1:
        return sources[0]
    name = ", ".join(source.name for source in sources[:3]) + ("…" if len(sources) > 3 else "")
    return Source(name)


def datasets(facts: Facts) -> list[str]:
    """Return the Hub's data sets that the recipe names."""
    named = [
        _source(text).dataset
        for task in facts.recipe.tasks.values()
        for split in ("train", *HELD_OUT)
        for text in _named(task, split)
    ]
    return list(dict.fromkeys(filter(None, named)))


def results(facts: Facts) -> list[tuple[str, str, Mapping[str, float], int]]:
    """Return task, split, metrics and number of examples of everything that was measured."""
    return [
        (name, split, entry.metrics[split], entry.examples.get(split, 0))
        for name, entry in facts.content.tasks.items()
        for split in sorted(entry.metrics, key=lambda s: (*HELD_OUT, s).index(s))
        if entry.metrics[split]
    ]
