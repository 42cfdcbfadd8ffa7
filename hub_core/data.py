"""Tables become checked examples, examples become splits and batches.

Everything that is wrong with the data is told before training, with file, row and column. Rows
are counted from 1 and leave out a header line. What was read from disk stays there: a function
that is given a lazy sequence gives one back, with the same items in the same order.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hub_core.declare import Column, Task
from hub_core.errors import DataError, near
from hub_core.model import Example, Row
from hub_core.stored import Lazy, Picked, Store
from hub_core.tables import Table as Table
from hub_core.tables import read_table as read_table
from hub_core.values import Mixture, checked
from hub_core.wording import Problems, shown

CHUNK = 65_536
"""Numbers that are taken out of a tensor at once."""


@dataclass(frozen=True, slots=True)
class TaskData:
    """A task with its examples by split: ``train``, ``validation``, ``test``."""

    task: Task
    splits: Mapping[str, Sequence[Example]]
    _fingerprints: dict[str, str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def fingerprint(self, split: str) -> str:
        """Return a sha256 of a split's examples, in order; large data are read for it once."""
        if split not in self._fingerprints:
            digest = hashlib.sha256()
            for example in self.splits[split]:
                digest.update(json.dumps(example, sort_keys=True, ensure_ascii=False).encode())
            self._fingerprints[split] = digest.hexdigest()
        return self._fingerprints[split]

    def key(self) -> dict[str, dict[str, Any]]:
        """Return what must be the same for a run to be resumed: what it learns and chooses by."""
        return {
            split: {"examples": len(self.splits[split]), "sha256": self.fingerprint(split)}
            for split in ("train", "validation")
            if self.splits.get(split)
        }


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
    table: Table,
    wanted: Sequence[Column],
    names: Mapping[str, str],
    labels: Sequence[str] | None,
    folder: Path | None = None,
) -> Sequence[Example]:
    """Return checked examples; those of a table that is not in memory are not either.

    Args:
        table: What was read.
        wanted: The head's columns.
        names: Role to column name.
        labels: The known labels, or None to take whatever labels there are.
        folder: Where to store examples that are not in memory.

    Raises:
        DataError: Rows are unusable; the first ones are listed with row and column.
    """
    table = Table(*table)
    problems = Problems()
    examples = usable_examples(table, wanted, names, labels, problems, folder)
    if problems:
        values = "1 value" if len(problems) == 1 else f"{len(problems):,} values"
        raise DataError(
            f"{table.source}: {values} cannot be used:{problems.listed()}",
            hint="correct or remove them; rows are counted from 1 and leave out a header line",
        )
    return examples


def usable_examples(
    table: Table,
    wanted: Sequence[Column],
    names: Mapping[str, str],
    labels: Sequence[str] | None,
    problems: Problems,
    folder: Path | None = None,
) -> Sequence[Example]:
    """Return the examples of usable rows; what is wrong with the others is added to problems."""
    rows = checked_rows(table, wanted, names, labels, problems)
    found = (example for _, example in rows)
    return Store(found, folder) if table.streamed else list(found)


def checked_rows(
    table: Table,
    wanted: Sequence[Column],
    names: Mapping[str, str],
    labels: Sequence[str] | None,
    problems: Problems,
) -> Iterator[tuple[int, Example]]:
    """Yield number and example of usable rows, counted from 1 over all files."""
    present = [(column, names[column.role]) for column in wanted if column.role in names]
    mixture = Mixture()
    for whole, (source, number, row) in enumerate(table.counted(), start=1):
        example: dict[str, Any] = {}
        for column, name in present:
            value = row.get(name)
            try:
                example[column.role] = checked(column, value, labels)
                mixture.refuse(column, name, source, number, value)
            except ValueError as error:
                where = f"{source}, row {number}" if source else f"row {number}"
                problems.add(f"{where}, column '{name}': {error}")
                example.pop(column.role, None)
        if len(example) == len(present):
            yield whole, example


def labels_in(examples: Iterable[Example], wanted: Sequence[Column]) -> tuple[str, ...]:
    """Return the sorted label names in examples; numbers are sorted as numbers."""
    roles = [column.role for column in wanted if column.kind in ("label", "labels", "tags")]
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
) -> tuple[Sequence[Example], Sequence[Example]]:
    """Split a share of the examples off at random, keeping the shares of each label.

    Args:
        examples: What to split.
        share: Share to split off, in (0, 1).
        stratum: The role whose values keep their shares; examples without it are one stratum. Of
            several labels, the one that is rarest in the data counts.
        generator: The source of chance.

    Returns:
        What is left, and what was split off, both in their old order.
    """
    codes = _strata(examples, stratum)
    strata: dict[int, array[int]] = {}
    for index in numbers_in(torch.randperm(len(examples), generator=generator)):
        strata.setdefault(codes[index], array("q")).append(index)
    taken = bytearray(len(examples))
    owed = 0.0  # what rounding has left out so far, so that small labels are not all rounded away
    for indices in strata.values():
        owed += share * len(indices)
        count = min(round(owed), len(indices))
        owed -= count
        for index in indices[:count]:
            taken[index] = 1
    left = array("q", (index for index, gone in enumerate(taken) if not gone))
    return picked(examples, left), picked(
        examples, array("q", (index for index, gone in enumerate(taken) if gone))
    )


def _strata(examples: Sequence[Example], role: str) -> array[int]:
    """Return the number of each example's stratum."""
    numbers: dict[Any, int] = {}
    counts = Counter(
        name
        for example in examples
        if isinstance(names := example.get(role), list)
        for name in names
    )

    def stratum(value: Any) -> Any:
        if isinstance(value, list):
            return min(value, key=lambda name: (counts[name], name), default=None)
        return value

    return array("q", (numbers.setdefault(stratum(e.get(role)), len(numbers)) for e in examples))


def numbers_in(tensor: torch.Tensor) -> Iterator[int]:
    """Yield the numbers of a tensor (N,), without a list of all of them."""
    for start in range(0, len(tensor), CHUNK):
        yield from tensor[start : start + CHUNK].tolist()


def picked(items: Sequence[Any], numbers: array[int]) -> Sequence[Any]:
    """Return some items by their numbers: lazily if they are lazy, else as a list."""
    if isinstance(items, Lazy):
        return Picked(items, numbers)
    return [items[number] for number in numbers]


def overlap(first: Sequence[Example], second: Sequence[Example], wanted: Sequence[Column]) -> int:
    """Return how many examples of ``second`` have inputs that ``first`` has too."""
    roles = [column.role for column in wanted if not column.target]
    seen = {_inputs(example, roles) for example in first}
    return sum(_inputs(example, roles) in seen for example in second)


def _inputs(example: Example, roles: Sequence[str]) -> str:
    return json.dumps([example.get(role) for role in roles], ensure_ascii=False)


def shares(examples: Sequence[Example], role: str) -> dict[str, float]:
    """Return the share of the examples that have each value of a role, in [0, 1]."""
    counts = label_counts(examples, role)
    return {name: count / len(examples) for name, count in counts.most_common()}


def label_counts(examples: Iterable[Example], role: str) -> Counter[str]:
    """Return how many examples have each value of a role, or each of several."""
    counts: Counter[str] = Counter()
    for example in examples:
        value = example[role]
        counts.update(list(dict.fromkeys(value)) if isinstance(value, list) else [str(value)])
    return counts


# -- batches


def batches_of(
    rows: Sequence[Row], tokens: int, most: int, generator: torch.Generator | None = None
) -> list[Sequence[Row]]:
    """Cut rows into batches of similar length, by a budget of tokens with padding.

    With a generator, rows of equal length are mixed and the batches come in random order. The
    sequence of lengths is the same whatever the order, so every epoch has as many batches.

    Args:
        rows: What to cut.
        tokens: Most tokens in a batch, padding included; a longer row is a batch of its own.
        most: Most rows in a batch.
        generator: The source of chance, or None for a fixed order.
    """
    return [picked(rows, numbers) for numbers in batch_numbers(rows, tokens, most, generator)]


def batch_numbers(
    rows: Sequence[Row], tokens: int, most: int, generator: torch.Generator | None = None
) -> list[array[int]]:
    """Return the same as ``batches_of``, as the numbers of the rows."""
    known = getattr(rows, "lengths", None)  # of rows on disk, which need not be read for it
    lengths = torch.tensor([row.length for row in rows] if known is None else known)
    if generator is None:
        order = torch.arange(len(rows))
    else:
        order = torch.randperm(len(rows), generator=generator)
    order = order[lengths[order].sort(stable=True).indices]
    batches: list[array[int]] = []
    for index, length in zip(numbers_in(order), numbers_in(lengths[order]), strict=True):
        if not batches or len(batches[-1]) >= most or length * (len(batches[-1]) + 1) > tokens:
            batches.append(array("q"))
        batches[-1].append(index)
    if generator is not None:
        batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    return batches
