"""The card's front matter: what the Hub indexes, as safe YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import hub_core.card.facts as read
from hub_core.card.escape import plain
from hub_core.card.facts import Facts
from hub_core.card.published import Published
from hub_core.errors import FormatError

DIGITS = 6
"""Digits after the point of a metric."""
UNNAMED = "unnamed"
_FENCED = re.compile(r"\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.M)
_UNITED = ("tags", "datasets")


def header(facts: Facts, published: Published) -> dict[str, Any]:
    """Return the front matter; what is not known is not in it."""
    values: dict[str, Any] = {
        "license": plain(published.license),
        "language": [plain(language) for language in published.languages],
    }
    if facts.base is not None:
        values |= {"base_model": facts.base.name, "base_model_relation": read.relation(facts)}
    values |= {
        "library_name": read.library(facts),
        "pipeline_tag": _pipeline(facts),
        "tags": read.tags(facts),
        "datasets": list(dict.fromkeys([*map(plain, published.datasets), *read.datasets(facts)])),
    }
    if found := list(_results(facts, published)):
        values["model-index"] = [{"name": plain(published.name), "results": found}]
    return {key: value for key, value in values.items() if value}


def _pipeline(facts: Facts) -> str:
    """Return what all tasks are called, or nothing where they differ."""
    found = {read.pipeline(facts, task) for task in facts.content.tasks}
    return found.pop() if len(found) == 1 else ""


def _results(facts: Facts, published: Published) -> Iterator[dict[str, Any]]:
    """Yield a result for each task and split that the Hub has a word for."""
    for task, split, metrics, count in read.results(facts):
        if not (kind := read.pipeline(facts, task)):
            continue
        yield {
            "task": {"type": kind, "name": plain(task)},
            "dataset": _dataset(facts, published, task, split, count),
            "metrics": [
                {"type": plain(name), "value": round(value, DIGITS), "name": plain(name)}
                for name, value in metrics.items()
            ],
        }


def _dataset(
    facts: Facts, published: Published, task: str, split: str, count: int
) -> dict[str, Any]:
    """Return a split's data set, by the name that the Hub or its author has for it."""
    source = read.source_of(facts, task, split)
    [only] = published.datasets if len(published.datasets) == 1 else [""]
    name = plain(source.name or only or UNNAMED)
    own = task if len(facts.content.tasks) > 1 else ""  # or the Hub would take them for one
    values = {
        "name": name,
        "type": plain(source.dataset or only or name),
        "config": plain(source.config or ("" if source.dataset else own)),
        "split": plain(split),
        "args": {"n": count},
    }
    return {key: value for key, value in values.items() if value}


def fenced(values: Mapping[str, Any]) -> str:
    """Return front matter between its lines of dashes."""
    import yaml  # type: ignore[import-untyped]

    class Plain(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: object) -> bool:
            return True

    text = yaml.dump(dict(values), Dumper=Plain, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n"


def unfenced(text: str) -> tuple[dict[str, Any], str]:
    """Return the front matter and the body of a README.md.

    Raises:
        FormatError: The front matter is not YAML, or no names with values.
    """
    import yaml

    found = _FENCED.match(text)
    if found is None:
        return {}, text.removeprefix("\ufeff")
    try:
        events = yaml.parse(found[1], Loader=yaml.SafeLoader)
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            raise yaml.YAMLError("aliases are not accepted")
        values = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(
            f"README.md: its front matter is not YAML: {plain(error)}",
            hint="repair what stands between the two lines '---'",
        ) from None
    if not isinstance(values, dict | None):
        raise FormatError(
            "README.md: its front matter does not hold names with values",
            hint="write lines such as 'license: apache-2.0'",
        )
    return values or {}, text[found.end() :]


def laid_over(own: Mapping[str, Any], generated: Mapping[str, Any]) -> dict[str, Any]:
    """Return front matter with the author's values first; tags and data sets are united."""
    merged = {**generated, **own}
    for key in _UNITED:
        if key in own and key in generated:
            merged[key] = list(dict.fromkeys([*_listed(own[key]), *_listed(generated[key])]))
    return merged


def _listed(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [] if value is None else [value]
    return [str(item) for item in items]
