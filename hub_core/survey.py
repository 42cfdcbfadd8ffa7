"""What data hold, before anybody trains on them: columns, labels, lengths, duplicates, refusals."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_core import data
from hub_core.balance import counts_of, rare_labels
from hub_core.build import Resolved
from hub_core.catalog import Catalog
from hub_core.data import Table
from hub_core.declare import Column, Kind, Task
from hub_core.errors import DataError, HubError
from hub_core.lengths import Lengths, plain_lengths, token_lengths
from hub_core.model import Example
from hub_core.recipe import Training
from hub_core.stored import Store
from hub_core.values import is_absent
from hub_core.wording import SHOWN, Problems, shown

MEMORY_LIMIT = Training.model_validate({}).memory_limit * 2**20
KEPT = 1000
"""Rows that would be refused which are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A column: its name, the types of its values with how often each occurs, its role if any."""

    name: str
    types: Mapping[str, int]
    missing: int
    role: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Args:
        source: The files.
        rows: Their rows.
        examples: Those of them that can be used.
        head: The head they were checked for.
        columns: What their columns hold.
        labels: Label to number of usable examples; empty where the head has none.
        lengths: By role and unit.
        duplicates: Usable examples that repeat an earlier one.
        conflicts: Usable examples with the inputs of an earlier one and another target.
        contradictions: The first of them as sentences.
        test: The test files, or an empty text.
        test_rows: Their rows.
        overlap: Usable test examples whose inputs are among the data too.
        refused_rows: Rows that training would refuse, of the test files too.
        refusals: The first reasons, with row and column.
        rare: Sentences about labels that are rare.
        objection: Why the head would refuse the task as a whole, or an empty text.
    """

    source: str
    rows: int
    examples: int
    head: str
    columns: Sequence[Facts]
    labels: Mapping[str, int]
    lengths: Sequence[Lengths]
    duplicates: int
    conflicts: int
    contradictions: Sequence[str]
    test: str
    test_rows: int
    overlap: int
    refused_rows: int
    refusals: Sequence[str]
    rare: Sequence[str]
    objection: str

    @property
    def usable(self) -> bool:
        """Whether training would refuse nothing."""
        return not self.refused_rows and not self.objection


@dataclass(slots=True)
class _Checked:
    """A table's usable examples, and what is wrong with the other rows."""

    table: Table
    names: Mapping[str, str]
    examples: Sequence[Example]
    numbers: array[int]
    problems: Problems

    @property
    def refused(self) -> int:
        return len(self.table.rows) - len(self.examples)


def survey(
    files: Sequence[str],
    catalog: Catalog,
    *,
    head: Resolved | None = None,
    columns: Mapping[str, str] | None = None,
    test: Sequence[str] = (),
    backbone: Resolved | None = None,
    limit: int = MEMORY_LIMIT,
) -> Survey:
    """Look through data as training would.

    Args:
        files: What ``hub_core.data.read_table`` reads.
        catalog: What is installed.
        head: The head to check for; by default the one that reads most and refuses least.
        columns: Role to column name, where they have unusual names.
        test: Test data, of the same columns.
        backbone: Counts tokens, if given; no weights are read.
        limit: Bytes from which on rows are not kept in memory.

    Raises:
        DataError: The files cannot be read, or lack a column.
    """
    table = data.read_table(list(files), limit)
    chosen = head or _fitting(table, catalog, columns or {})
    wanted = chosen.provided.factory().reads(chosen.options)
    found = _check(table, wanted, columns or {}, None)
    labels = _labels(found.examples, wanted)
    task = Task("data", tuple(labels), dict(found.names))
    objection = _objection(chosen, task)
    other = None
    if test:
        other = _check(
            data.read_table(list(test), limit), wanted, columns or {}, list(labels) or None
        )
    repeats = _Repeats(wanted, found)
    lengths = [length for column in wanted for length in plain_lengths(column, found.examples)]
    if backbone is not None and not objection and found.examples:
        lengths.append(token_lengths(backbone, chosen, task, found.examples))
    return Survey(
        source=table.source,
        rows=len(table.rows),
        examples=len(found.examples),
        head=chosen.provided.method.name,
        columns=_facts(table, found.names),
        labels=labels,
        lengths=lengths,
        duplicates=repeats.same,
        conflicts=repeats.other,
        contradictions=repeats.told,
        test=other.table.source if other else "",
        test_rows=len(other.table.rows) if other else 0,
        overlap=data.overlap(found.examples, other.examples, wanted) if other else 0,
        refused_rows=found.refused + (other.refused if other else 0),
        refusals=_reasons(found, other) + _reasons(other, other),
        rare=rare_labels(counts_of(found.examples, wanted, task)),
        objection=objection,
    )


# -- the head


def resolved(catalog: Catalog, kind: Kind, choice: Mapping[str, Any]) -> Resolved:
    """Return a method by name, with the options beside the name.

    Raises:
        OptionsError: The options do not fit.
        UnknownMethodError: There is no such method.
    """
    provided = catalog.find(kind, choice["name"])
    options = {key: value for key, value in choice.items() if key != "name"}
    return Resolved(provided, provided.options(options))


def _fitting(table: Table, catalog: Catalog, columns: Mapping[str, str]) -> Resolved:
    """Return the head that refuses fewest rows, then reads most columns, then is the plainest.

    One label is plainer than several, and than a score; then fewer options are plainer than more.
    """
    fits: list[tuple[tuple[int, int, list[str], int, str], Resolved]] = []
    for provided in catalog.methods("head"):
        try:
            head = Resolved(provided, provided.options({}))
            wanted = provided.factory().reads(head.options)
            found = _check(table, wanted, columns, None)
        except HubError:
            continue  # it lacks a column, or the plugin cannot be used
        targets = [column.kind for column in wanted if column.target]
        plain = (targets, len(type(head.options).model_fields), provided.full_name)
        fits.append(((found.refused, -len(found.names), *plain), head))
    if not fits:
        raise DataError(
            f"{table.source}: no installed head finds its columns "
            f"(columns: {', '.join(table.columns)})",
            hint="say which ones to read: --head METHOD --column ROLE=NAME; "
            "'hub methods --kind head' lists heads",
        )
    return min(fits, key=lambda fit: fit[0])[1]


def _objection(head: Resolved, task: Task) -> str:
    try:
        head.provided.factory().plan(head.options, task)
    except DataError as error:
        return error.message
    return ""


# -- rows


def _check(
    table: Table,
    wanted: Sequence[Column],
    columns: Mapping[str, str],
    labels: Sequence[str] | None,
) -> _Checked:
    names = data.columns_of(table, wanted, columns)
    problems, numbers = Problems(KEPT), array("q")

    def usable() -> Iterator[Example]:
        for number, example in data.checked_rows(table, wanted, names, labels, problems):
            numbers.append(number)
            yield example

    examples = Store(usable()) if table.streamed else list(usable())
    return _Checked(table, names, examples, numbers, problems)


def _reasons(found: _Checked | None, test: _Checked | None) -> list[str]:
    """Return why rows are refused; with the file where there is more than one."""
    if found is None:
        return []
    source = f"{found.table.source}, " if test is not None and not found.table.parts else ""
    return [f"{source}{reason}" for reason in found.problems.first]


def _labels(examples: Sequence[Example], wanted: Sequence[Column]) -> dict[str, int]:
    """Return how many examples have each label, in the labels' order."""
    counts: Counter[str] = Counter()
    for column in wanted:
        if column.kind in ("label", "labels", "tags"):
            counts += data.label_counts(examples, column.role)
    return {name: counts[name] for name in data.labels_in(examples, wanted)}


def _facts(table: Table, names: Mapping[str, str]) -> list[Facts]:
    roles = {name: role for role, name in names.items()}
    types: dict[str, Counter[str]] = {name: Counter() for name in table.columns}
    missing: Counter[str] = Counter()
    for row in table.rows:
        for name, counts in types.items():
            if is_absent(value := row.get(name)):
                missing[name] += 1
            else:
                counts[_type(value)] += 1
    return [
        Facts(name, dict(counts.most_common()), missing[name], roles.get(name, ""))
        for name, counts in types.items()
    ]


def _type(value: Any) -> str:
    if isinstance(value, list | tuple):
        inner = sorted({_type(item) for item in value})
        return f"list of {' and '.join(inner)}" if inner else "empty list"
    names = {str: "text", bool: "truth value", int: "whole number", float: "number",
             bytes: "bytes", dict: "object"}  # fmt: skip
    return names.get(type(value), type(value).__name__)


class _Repeats:
    """Examples that occur again, with the same target or with another."""

    def __init__(self, wanted: Sequence[Column], found: _Checked) -> None:
        self.same = self.other = 0
        self.told: list[str] = []
        targets = [column.role for column in wanted if column.target]
        inputs = [column.role for column in wanted if not column.target]
        seen: dict[bytes, tuple[int, int]] = {}  # inputs to their first row and its target
        known: dict[str, int] = {}
        for row, example in zip(found.numbers, found.examples, strict=True):
            target = known.setdefault(_told(example, targets), len(known))
            first, before = seen.setdefault(_digest(example, inputs), (row, target))
            if target != before:
                self.other += 1
                if len(self.told) < SHOWN:
                    place = found.table.place
                    self.told.append(
                        f"{place(first)} has {list(known)[before]}, {place(row)} has "
                        f"{list(known)[target]}: {_told(example, inputs)}"
                    )
            elif first != row:
                self.same += 1


def _told(example: Example, roles: Sequence[str]) -> str:
    return ", ".join(shown(example[role]) for role in roles if role in example)


def _digest(example: Example, roles: Sequence[str]) -> bytes:
    text = json.dumps([example.get(role) for role in roles])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
