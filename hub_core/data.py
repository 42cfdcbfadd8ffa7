"""Files, data sets and lists of dicts become checked examples, then batches.

Everything that is wrong with the data is told before training, with file, row and column. Rows
are counted from 1 and leave out a header line.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hub_core.declare import Column, Task
from hub_core.errors import DataError, listed, near
from hub_core.model import Example, Row

@dataclass(frozen=True, slots=True)
class TaskData:
    """A task with its examples by split: ``train``, ``validation``, ``test``."""

    task: Task
    splits: Mapping[str, Sequence[Example]]

    def fingerprint(self, split: str) -> str:
        """Return a sha256 of a split's examples, in order."""
        digest = hashlib.sha256()
        for example in self.splits[split]:
            digest.update(json.dumps(example, sort_keys=True, ensure_ascii=False).encode())
        return digest.hexdigest()


# -- checking


def columns_of(table: Table, wanted: Sequence[Column], given: Mapping[str, str]) -> dict[str, str]:
    """Return role to column name, as given or found by usual names.

    Raises:
        DataError: A column is missing, or one was named for a role that the head does not have.
    """
    label, names, _ = table
    roles = {column.role for column in wanted}
    for role in given:
        if role not in roles:
            raise DataError(f"this head reads no '{role}'", hint=near(role, roles) or
                            f"it reads {', '.join(sorted(roles))}")  # fmt: skip
    found: dict[str, str] = {}
    missing: list[str] = []
    for column in wanted:
        name = given.get(column.role) or _usual(column, names, set(found.values()))
        if name in names:
            found[column.role] = name
        elif column.required or column.role in given:
            missing.append(f"no column '{name or column.names[0]}' for {column.role}")
    if missing:
        raise DataError(
            f"{label}: {'; '.join(missing)} (columns: {', '.join(names)})",
            hint="name columns with --column ROLE=NAME, or columns = { role = \"name\" }",
        )
    return found


def _usual(column: Column, names: Sequence[str], taken: set[str]) -> str | None:
    lower = {name.lower(): name for name in names if name not in taken}
    return next((lower[usual] for usual in column.names if usual in lower), None)


def examples_of(
    table: Table, wanted: Sequence[Column], names: Mapping[str, str], labels: Sequence[str] | None
) -> list[Example]:
    """Return checked examples.

    Args:
        table: What was read.
        wanted: The head's columns.
        names: Role to column name.
        labels: The known labels, or None to take whatever labels there are.

    Raises:
        DataError: Rows are unusable; the first ones are listed with row and column.
    """
    source, _, rows = table
    present = [column for column in wanted if column.role in names]
    problems: list[str] = []
    examples: list[Example] = []
    for number, row in enumerate(rows, start=1):
        example: dict[str, Any] = {}
        for column in present:
            name = names[column.role]
            try:
                example[column.role] = _CHECKS[column.kind](row.get(name), labels)
            except ValueError as error:
                problems.append(f"row {number}, column '{name}': {error}")
        examples.append(example)
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise DataError(
            f"{source}: {len(problems)} values cannot be used:{listed(problems[:SHOWN] + more)}",
            hint="correct or remove these rows",
        )
    return examples


def _text(value: Any, _: Sequence[str] | None) -> str:
    if _absent(value) or not str(value).strip():
        raise ValueError("the text is missing")
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value


def _label(value: Any, labels: Sequence[str] | None) -> str:
    if _absent(value) or str(value).strip() == "":
        raise ValueError("the label is missing")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value!r} is a number, not a label")
    name = str(int(value)) if isinstance(value, float | bool) else str(value).strip()
    if labels is not None and name not in labels:
        hint = near(name, labels)
        raise ValueError(f"unknown label '{name}'{'; ' + hint if hint else ''}")
    return name


def _score(value: Any, _: Sequence[str] | None) -> float:
    if _absent(value) or str(value).strip() == "":
        raise ValueError("the score is missing")
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number") from None
    if not math.isfinite(score):
        raise ValueError(f"{value!r} is not a finite number")
    return score


def _tokens(value: Any, _: Sequence[str] | None) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError("is not a list of words")
    return [_text(item, None) for item in value]


def _tags(value: Any, labels: Sequence[str] | None) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError("is not a list of labels")
    return [_label(item, labels) for item in value]


_CHECKS = {"text": _text, "label": _label, "score": _score, "tokens": _tokens, "tags": _tags}


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def labels_in(examples: Iterable[Example], wanted: Sequence[Column]) -> tuple[str, ...]:
    """Return the sorted label names in examples; numbers are sorted as numbers."""
    names: set[str] = set()
    for column in wanted:
        if column.kind in ("label", "tags"):
            for example in examples:
                value = example.get(column.role, ())
                names.update([value] if isinstance(value, str) else value)
    return tuple(sorted(names, key=lambda name: (not name.isdigit(), name.zfill(9), name)))


# -- splitting


def split_off(
    examples: Sequence[Example], share: float, stratum: str, generator: torch.Generator
) -> tuple[list[Example], list[Example]]:
    """Split a share of the examples off at random, keeping the shares of each label.

    Args:
        examples: What to split.
        share: Share to split off, in (0, 1).
        stratum: The role whose values keep their shares; examples without it are one stratum.
        generator: The source of chance.

    Returns:
        What is left, and what was split off, both in their old order.
    """
    strata: dict[Any, list[int]] = {}
    for index in torch.randperm(len(examples), generator=generator).tolist():
        strata.setdefault(examples[index].get(stratum), []).append(index)
    taken: set[int] = set()
    owed = 0.0  # what rounding has left out so far, so that small labels are not all rounded away
    for indices in strata.values():
        owed += share * len(indices)
        count = min(round(owed), len(indices))
        owed -= count
        taken.update(indices[:count])
    left = [example for index, example in enumerate(examples) if index not in taken]
    return left, [example for index, example in enumerate(examples) if index in taken]


def overlap(first: Sequence[Example], second: Sequence[Example], wanted: Sequence[Column]) -> int:
    """Return how many examples of ``second`` have inputs that ``first`` has too."""
    roles = [column.role for column in wanted if not column.target]
    seen = {_inputs(example, roles) for example in first}
    return sum(_inputs(example, roles) in seen for example in second)


def _inputs(example: Example, roles: Sequence[str]) -> str:
    return json.dumps([example.get(role) for role in roles], ensure_ascii=False)


def shares(examples: Sequence[Example], role: str) -> dict[str, float]:
    """Return the share of each value of a role, in [0, 1]."""
    counts = Counter(str(example[role]) for example in examples)
    return {name: count / len(examples) for name, count in counts.most_common()}


# -- batches


def batches_of(
    rows: Sequence[Row], tokens: int, most: int, generator: torch.Generator | None = None
) -> list[list[Row]]:
    """Cut rows into batches of similar length, by a budget of tokens with padding.

    With a generator, rows of equal length are mixed and the batches come in random order. The
    sequence of lengths is the same whatever the order, so every epoch has as many batches.

    Args:
        rows: What to cut.
        tokens: Most tokens in a batch, padding included; a longer row is a batch of its own.
        most: Most rows in a batch.
        generator: The source of chance, or None for a fixed order.
    """
    order = list(range(len(rows)))
    if generator is not None:
        order = torch.randperm(len(rows), generator=generator).tolist()
    order.sort(key=lambda index: rows[index].length)
    batches: list[list[Row]] = []
    for index in order:
        row = rows[index]
        if not batches or len(batches[-1]) >= most or row.length * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(row)
    if generator is not None:
        batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    return batches
