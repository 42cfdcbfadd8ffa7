"""One value of a column: what a head wants it to be, or a sentence that says why it is not."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hub_core.declare import Column
from hub_core.errors import near
from hub_core.wording import named, shown


def checked(column: Column, value: Any, labels: Sequence[str] | None) -> Any:
    """Return a value as its head reads it; nothing is cast but a label's number to its name.

    Args:
        column: The column.
        value: Its value in a row.
        labels: The known labels, or None to take whatever labels there are.

    Raises:
        ValueError: It cannot be used; the message says why.
    """
    if column.kind == "labels":
        return _labels(value, labels, column.separator)
    return _CHECKS[column.kind](value, labels)


def sort_of(column: Column, value: Any) -> str:
    """Return whether a checked column's value is a ``text``, a ``number`` or a ``truth value``."""
    if column.kind in ("text", "tokens"):
        return "text"
    items = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
    sorts = {_sort(item) for item in items}
    return sorts.pop() if len(sorts) == 1 else " and ".join(sorted(sorts))


def _sort(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    return "truth value" if type(value).__name__.startswith("bool") else "number"


def is_absent(value: Any) -> bool:
    """Return whether a value is None, not a number, or text without a letter."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


# -- kinds


def _text(value: Any, _: Sequence[str] | None) -> str:
    if is_absent(value):
        raise ValueError("the text is missing")
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    if not value.isascii():
        _require_whole_letters(value)
    return value


def _label(value: Any, labels: Sequence[str] | None) -> str:
    if is_absent(value):
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
        hint = near(name, labels) or f"the labels are {named(labels)}"
        raise ValueError(f"unknown label {shown(name)}; {hint}")
    return name


def _score(value: Any, _: Sequence[str] | None) -> float:
    if is_absent(value):
        raise ValueError("the score is missing")
    if _sort(value) == "truth value":
        raise ValueError(f"{shown(value)} is not a number")
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


def _labels(value: Any, labels: Sequence[str] | None, separator: str) -> list[str]:
    """Return the labels of a list, or of a text with a separator between them."""
    if isinstance(value, str):
        parts: Sequence[Any] = [part for part in value.split(separator) if part.strip()]
    elif value is None or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("the labels are missing; an empty list says that there are none")
    else:
        parts = _list(value, "labels", empty=True)
    found = [_label(part, labels) for part in parts]
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"the label {shown(twice)} is named twice")
    return found


def _list(value: Any, of: str, *, empty: bool = False) -> Sequence[Any]:
    value = value.tolist() if hasattr(value, "tolist") else value  # an array in a DataFrame
    right = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not right or not (value or empty):
        raise ValueError(f"{shown(value)} is not a list of {of}")
    return value  # type: ignore[no-any-return]


_CHECKS: dict[str, Callable[[Any, Sequence[str] | None], Any]] = {
    "text": _text,
    "label": _label,
    "score": _score,
    "tokens": _tokens,
    "tags": _tags,
}


def _require_whole_letters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ascii(text[error.start])
        raise ValueError(f"the text holds half a letter, {half}") from None


class Mixture:
    """Tells values of a column whose sort is not that of the first one in the same file."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], tuple[str, int]] = {}

    def refuse(self, column: Column, name: str, source: str, row: int, value: Any) -> None:
        """Note a value.

        Raises:
            ValueError: It is of another sort than the first; nothing says which of them is meant.
        """
        sort = sort_of(column, value)
        if not sort:
            return
        before, where = self.first.setdefault((source, name), (sort, row))
        if " and " in sort:
            raise ValueError(f"{shown(value)} mixes {' with '.join(_plural(sort))}")
        if sort != before:
            raise ValueError(f"{shown(value)} is a {sort}, but row {where} holds a {before}")


def _plural(sorts: str) -> Iterator[str]:
    return (f"{sort}s" for sort in sorts.split(" and "))
