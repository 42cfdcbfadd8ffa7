"""Files, data sets and lists of dicts become checked examples, then batches.

Everything that is wrong with the data is told before training, with file, row and column. Rows
are counted from 1 and leave out a header line.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hub_core.declare import Column, Task
from hub_core.errors import DataError, near
from hub_core.model import Example, Row
from hub_core.tables import SHOWN, shown, some
from hub_core.tables import Table as Table
from hub_core.tables import read_table as read_table


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
    label, names = table[:2]
    roles = {column.role for column in wanted}
    for role in given:
        if role not in roles:
            raise DataError(
                f"this head reads no '{role}'",
                hint=near(role, roles) or f"it reads {', '.join(sorted(roles))}",
            )
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for column in wanted:
        taken = {*given.values(), *found.values()}
        name = given.get(column.role) or _usual(column, names, taken)
        if name in names:
            found[column.role] = name
        elif column.required or column.role in given:
            missing[column.role] = name or column.names[0]
    if missing:
        role, name = next(iter(missing.items()))
        meant = near(name, names) if role in given else ""
        how = f'--column {role}=NAME, or columns = {{ {role} = "NAME" }} in the recipe'
        lacking = "; ".join(f"no column {shown(name)} for {role}" for role, name in missing.items())
        raise DataError(
            f"{label}: {lacking} (columns: {', '.join(names)})",
            hint=meant or f"say which column it is: {how}",
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
    table = Table(*table)
    present = [column for column in wanted if column.role in names]
    problems: list[str] = []
    examples: list[Example] = []
    for number, row in enumerate(table.rows, start=1):
        example: dict[str, Any] = {}
        for column in present:
            name = names[column.role]
            try:
                example[column.role] = _CHECKS[column.kind](row.get(name), labels)
            except ValueError as error:
                problems.append(f"{table.place(number)}, column '{name}': {error}")
        examples.append(example)
    if problems:
        values = "1 value" if len(problems) == 1 else f"{len(problems)} values"
        raise DataError(
            f"{table.source}: {values} cannot be used:{some(problems)}",
            hint="correct or remove them; rows are counted from 1 and leave out a header line",
        )
    return examples


def _text(value: Any, _: Sequence[str] | None) -> str:
    if _absent(value):
        raise ValueError("the text is missing")
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    if not value.isascii():
        _require_whole_letters(value)
    return value


def _label(value: Any, labels: Sequence[str] | None) -> str:
    if _absent(value):
        raise ValueError("the label is missing")
    if isinstance(value, str):
        name = value.strip()
        _require_whole_letters(name)
    elif not isinstance(value, numbers.Real):
        raise ValueError(f"{shown(value)} is not a label")
    elif not isinstance(value, numbers.Integral) and not float(value).is_integer():
        raise ValueError(f"{shown(value)} is a number, not a label")
    else:
        name = str(int(value))  # type: ignore[call-overload]  # whole, as was just checked
    if labels is not None and name not in labels:
        known = ", ".join(map(shown, labels[:SHOWN])) + (", …" if len(labels) > SHOWN else "")
        hint = near(name, labels) or f"the labels are {known}"
        raise ValueError(f"unknown label {shown(name)}; {hint}")
    return name


def _score(value: Any, _: Sequence[str] | None) -> float:
    if _absent(value):
        raise ValueError("the score is missing")
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{shown(value)} is not a number") from None
    if not math.isfinite(score):
        raise ValueError(f"{shown(value)} is not a finite number")
    return score


def _tokens(value: Any, _: Sequence[str] | None) -> list[str]:
    return [_text(item, None) for item in _list(value, "words")]


def _tags(value: Any, labels: Sequence[str] | None) -> list[str]:
    return [_label(item, labels) for item in _list(value, "labels")]


def _list(value: Any, of: str) -> Sequence[Any]:
    value = value.tolist() if hasattr(value, "tolist") else value  # an array in a DataFrame
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"{shown(value)} is not a list of {of}")
    return value


_CHECKS = {"text": _text, "label": _label, "score": _score, "tokens": _tokens, "tags": _tags}


def _absent(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _require_whole_letters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ascii(text[error.start])
        raise ValueError(f"the text holds half a letter, {half}") from None


def labels_in(examples: Iterable[Example], wanted: Sequence[Column]) -> tuple[str, ...]:
    """Return the sorted label names in examples; numbers are sorted as numbers."""
    roles = [column.role for column in wanted if column.kind in ("label", "tags")]
    names: set[str] = set()
    for example in examples:
        for role in roles:
            value = example.get(role, ())
            names.update([value] if isinstance(value, str) else value)
    return tuple(sorted(names, key=_label_order))


def _label_order(name: str) -> tuple[bool, int, str]:
    """Put whole numbers first, by value, then all other names by letter."""
    number = name.removeprefix("-")
    whole = number.isascii() and number.isdigit() and len(number) <= 18
    return not whole, int(name) if whole else 0, name


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
