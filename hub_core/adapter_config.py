"""``adapter_config.json`` as PEFT writes it, read by a schema of our own.

Nothing in it ever chooses code to import or a file to open: what would is refused by its key, and
keys that nobody vouched for are left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from hub_core.errors import FormatError, near
from hub_core.wording import shown

NAME = "adapter_config.json"
MOST_BYTES = 1_000_000
DEEPEST = 4
"""Lists and objects within each other."""
LARGEST = 1e9
LONGEST = 200
"""Letters of a key."""
MOST_REPEATS = 4
"""Unbounded repeats in a pattern of module names: more of them can take for ever."""
CODE = frozenset({"auto_mapping", "megatron_config", "megatron_core", "tokenizer_kwargs"})
PLACES = ("_path", "_file", "_kwargs")
USUAL = {"megatron_core": "megatron.core"}
"""What PEFT writes under such a key when nobody chose anything."""
BASE, TOKENIZER = "base_model_name_or_path", "tokenizer_name_or_path"
_PATTERNS = re.compile(r"modules|pattern|parameters")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_WORD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

Text = Annotated[StrictStr, Field(max_length=2000)]


class AdapterConfig(BaseModel):
    """What an adapter is.

    Args:
        peft_type: The method, an upper-case word.
        task_type: What it was trained for, an upper-case word, or None.
        base_model_name_or_path: What it claims to be trained on; only a hint.
        revision: The revision of that.
        target_modules: The modules that it changes, or one pattern of their paths.
        modules_to_save: The modules that it holds whole.
        r: Its rank.
        peft_version: What wrote it.
        rest: The method's other values, each of a key that was vouched for.
        dropped: Keys that say something and are not read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    peft_type: Text
    task_type: Text | None = None
    base_model_name_or_path: Text | None = None
    revision: Text | None = None
    target_modules: tuple[Text, ...] | Text | None = None
    modules_to_save: tuple[Text, ...] | None = None
    r: Annotated[StrictInt, Field(ge=0, le=100_000)] | None = None
    peft_version: Text | None = None
    rest: dict[str, Any] = {}
    dropped: tuple[str, ...] = ()

    def safe_config(self) -> dict[str, Any]:
        """Return the values that PEFT may read, ready for JSON."""
        own = self.model_dump(mode="json", exclude={"rest", "dropped"}, exclude_none=True)
        return {**own, **self.rest, "inference_mode": True}


OWN = frozenset(AdapterConfig.model_fields) - {"rest", "dropped"}


def parse_adapter_config(
    source: str | Path, where: str = NAME, *, known: Mapping[str, Collection[str]] | None = None
) -> AdapterConfig:
    """Parse an ``adapter_config.json``.

    Args:
        source: The text, or the path of the file.
        where: What messages call it.
        known: Method to the keys that may be read of it; None takes every harmless key.

    Raises:
        FormatError: It is another library's, or says something that is not read; the key is told.
    """
    values = _object(_text(source, where), where)
    _refuse_others(values, where)
    kind = values.get("peft_type")
    if not isinstance(kind, str) or not _WORD.fullmatch(kind):
        _refuse(f"{where}: peft_type = {shown(kind)} is no name of a method in upper case")
    if known is not None and kind not in known:
        _refuse(f"{where}: adapters of the kind {kind} are not read", _known(kind, known))
    task = values.get("task_type")
    if task is not None and not (isinstance(task, str) and _WORD.fullmatch(task)):
        _refuse(f"{where}: task_type = {shown(task)} is no name of a task in upper case")
    _check(values, "", where, 0)
    return _sorted_out(values, where, None if known is None else frozenset(known[kind]))


def _text(source: str | Path, where: str) -> str:
    if isinstance(source, str):
        return source
    try:
        if source.stat().st_size > MOST_BYTES:
            _refuse(f"{where} has more than {MOST_BYTES:,} bytes, which none has")
        return source.read_text("utf-8")
    except FileNotFoundError:
        _refuse(f"{where} is missing")
    except (OSError, UnicodeDecodeError):
        _refuse(f"{where} cannot be read as text")


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(text)  # NaN and infinities are refused with their key
    except (ValueError, RecursionError):
        _refuse(f"{where} is no JSON")
    if not isinstance(values, dict):
        _refuse(f"{where} holds no JSON object")
    return values


def _refuse_others(values: Mapping[str, Any], where: str) -> None:
    """Refuse files of the same name that other libraries write."""
    if "peft_type" in values:
        return
    if "fine_tune_type" in values:
        _refuse(
            f"{where} was written by MLX, whose adapters are not read",
            "ask its author for an adapter in the format of PEFT",
        )
    if "config" in values and "model_type" in values:
        _refuse(
            f"{where} was written by the library adapters, whose format is not read",
            "ask its author for an adapter in the format of PEFT",
        )


def _known(kind: str, known: Collection[str]) -> str:
    guess = near(kind, known)
    return f"{guess + '; ' if guess else ''}read are {', '.join(sorted(known))}"


def _check(value: Any, key: str, where: str, depth: int) -> None:
    """Walk through all values, and refuse what is not plain and small data."""
    if depth > DEEPEST:
        _refuse(f"{where}: {key} is nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        for name, item in value.items():
            if len(name) > LONGEST or not name.isprintable():
                _refuse(f"{where} has a key that is no name")
            _refuse_place(name, item, f"{key}.{name}" if key else name, where)
            if _PATTERNS.search(key):
                _check_pattern(name, key, where)
            _check(item, f"{key}.{name}" if key else name, where, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, key, where, depth + 1)
    elif isinstance(value, str):
        if len(value) > 2000:
            _refuse(f"{where}: {key} is longer than 2,000 letters")
        if _CONTROL.search(value):
            _refuse(f"{where}: {key} holds control characters")
        if _PATTERNS.search(key):
            _check_pattern(value, key, where)
    elif isinstance(value, int | float) and not (abs(value) <= LARGEST and math.isfinite(value)):
        _refuse(f"{where}: {key} = {shown(value)} is no number between -1e9 and 1e9")


def _refuse_place(name: str, value: Any, key: str, where: str) -> None:
    """Refuse a key by which a file would choose what is imported or opened."""
    if value is None or USUAL.get(key) == value or key in (BASE, TOKENIZER):
        return
    if name in CODE or name.endswith(PLACES):
        _refuse(
            f"{where}: {key} is set, and no downloaded file chooses what is imported or opened",
            "ask its author for an adapter without it",
        )


def _check_pattern(pattern: str, key: str, where: str) -> None:
    """Refuse a pattern that a short text can keep busy for ever, or that is none."""
    repeats = re.findall(r"(?<!\\)[*+{]", pattern)
    if len(repeats) > MOST_REPEATS or re.search(r"\)[*+{]", pattern):
        _refuse(f"{where}: {key} holds {shown(pattern)}, which can take too long to match")
    try:
        re.compile(pattern)
    except re.error:
        _refuse(f"{where}: {key} holds {shown(pattern)}, which is no pattern")


def _sorted_out(
    values: Mapping[str, Any], where: str, allowed: frozenset[str] | None
) -> AdapterConfig:
    silent = CODE | {"inference_mode"}
    if values.get(TOKENIZER) != values.get(BASE):
        silent |= {TOKENIZER}
    others = {key: value for key, value in values.items() if key not in OWN | silent}
    rest = {k: v for k, v in others.items() if v is not None and (allowed is None or k in allowed)}
    dropped = tuple(key for key, value in others.items() if key not in rest and value)
    own = {key: value for key, value in values.items() if key in OWN}
    try:
        return AdapterConfig(**own, rest=rest, dropped=dropped)
    except ValidationError as error:
        first = error.errors()[0]
        _refuse(f"{where}: {first['loc'][0]} = {shown(values[str(first['loc'][0])])} does not fit")


def _refuse(message: str, hint: str = "fetch it again, or ask its author for it") -> NoReturn:
    raise FormatError(message, hint=hint)
