"""Flags laid over a recipe's mapping; pure, so that what a flag means can be tested without torch.

A method that a flag names and the recipe has chosen already keeps its options there; any other
replaces the recipe's choice.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub_core.catalog import Catalog
from hub_core.cli.backbone import backbone_choice
from hub_core.cli.settings import assign, same, table_in
from hub_core.errors import RecipeError, near


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags that decide a recipe, as they were given; None or empty where they were not.

    Args:
        data: Training files.
        validation: A file, or a share of the training data as a number.
        test: The same for the test data.
        columns: ``ROLE=NAME`` each.
        task: The task that the flags above and ``head`` are about.
        backbone: A method, ``METHOD=VALUE``, or a model for the only backbone that takes one.
        head: A method.
        strategies: Methods in order.
        compressors: Methods in order.
        settings: ``KEY=VALUE`` each.
        training: Values of the recipe's training section.
    """

    data: Sequence[str] = ()
    validation: str | None = None
    test: str | None = None
    columns: Sequence[str] = ()
    task: str | None = None
    backbone: str | None = None
    head: str | None = None
    strategies: Sequence[str] = ()
    compressors: Sequence[str] = ()
    settings: Sequence[str] = ()
    training: Mapping[str, Any] = field(default_factory=dict)


def overlay(base: Mapping[str, Any], flags: Flags, catalog: Catalog) -> dict[str, Any]:
    """Return the mapping of a recipe with flags laid over it, for ``recipe.parse``.

    Args:
        base: A recipe's mapping, or an empty one.
        flags: The flags.
        catalog: Asked what ``--backbone`` means, and for nothing else.

    Raises:
        RecipeError: A flag cannot be understood.
        UnknownMethodError: ``--backbone`` names a method that is not installed.
    """
    values = copy.deepcopy(dict(base))
    if flags.backbone is not None:
        old = values.get("backbone")
        values["backbone"] = kept(old, backbone_choice(flags.backbone, old, catalog))
    _overlay_task(values, flags)
    for key, names in (("strategies", flags.strategies), ("compressors", flags.compressors)):
        if names:
            old = values.get(key)
            chosen = old if isinstance(old, list) else []
            values[key] = [_kept_among(chosen, {"name": name}) for name in names]
    if flags.training:
        table_in(values, "training").update(flags.training)
    for setting in flags.settings:
        assign(values, setting)
    return values


def kept(old: Any, new: dict[str, Any]) -> dict[str, Any]:
    """Return a new choice, with the options of the old one if it is the same method."""
    old = {"name": old} if isinstance(old, str) else old
    if isinstance(old, dict) and same(str(old.get("name", "")), new["name"]):
        return {**old, **new}
    return new


def _kept_among(chosen: Sequence[Any], new: dict[str, Any]) -> dict[str, Any]:
    candidates = (kept(old, new) for old in chosen)
    return next((found for found in candidates if found is not new), new)


def _overlay_task(values: dict[str, Any], flags: Flags) -> None:
    given = (flags.data, flags.validation, flags.test, flags.columns, flags.task, flags.head)
    if not any(item not in (None, (), []) for item in given):
        return
    tasks = table_in(values, "tasks")
    task = table_in(tasks, _task_name(tasks, flags.task), "tasks.")
    if flags.data:
        task["data"] = flags.data[0] if len(flags.data) == 1 else list(flags.data)
    for split, text in (("validation", flags.validation), ("test", flags.test)):
        if text is not None:
            task[split] = file_or_share(text, f"--{split}")
    if flags.columns:
        table_in(task, "columns").update(columns_of(flags.columns))
    if flags.head is not None:
        task["head"] = kept(task.get("head"), {"name": flags.head})


def _task_name(tasks: Mapping[str, Any], wanted: str | None) -> str:
    """Return the task that the flags are about."""
    known = ", ".join(tasks)
    if wanted is not None:
        if tasks and wanted not in tasks:
            hint = near(wanted, tasks) or f"it has {known}"
            raise RecipeError(f"--task {wanted}: the recipe has no such task", hint=hint)
        return wanted
    if len(tasks) > 1:
        raise RecipeError(
            "the recipe has several tasks, and the flags do not say which one they are about",
            hint=f"name one of {known} with --task",
        )
    return next(iter(tasks), "task")


def columns_of(pairs: Sequence[str]) -> dict[str, str]:
    """Return role to column name from ``ROLE=NAME`` each.

    Raises:
        RecipeError: A pair does not read like that.
    """
    columns = {}
    for pair in pairs:
        role, sign, name = pair.partition("=")
        if not (role and sign and name):
            raise RecipeError(
                f"--column {pair}: must read ROLE=NAME", hint="such as --column text=review"
            )
        columns[role] = name
    return columns


def file_or_share(text: str, flag: str) -> str | float:
    """Return a number in [0, 1) as a share, anything else as a file name.

    Raises:
        RecipeError: A number that is no share.
    """
    try:
        number = float(text)
    except ValueError:
        return text
    if not 0 <= number < 1:
        raise RecipeError(
            f"{flag} {text}: a share must be at least 0 and less than 1",
            hint=f"for a file of that name write {flag} ./{text}",
        )
    return number or 0
