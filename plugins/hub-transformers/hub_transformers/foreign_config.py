"""``config.json`` and the index of weights as others publish them, checked before they are used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from hub_core.errors import FormatError, IntegrityError
from hub_core.wording import shown

CONFIG = "config.json"
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
MOST_BYTES = 10_000_000
MOST_OUTPUTS = 100_000
LABEL = 200
"""Letters of a label at most."""
SUFFIX = "ForSequenceClassification"
SINGLE, MULTI = "single_label_classification", "multi_label_classification"
PROBLEMS = frozenset({SINGLE, MULTI, "regression"})
weight_names = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
LEFT_OUT = re.compile(
    r"auto_map|.*kernel.*|.*attn_implementation.*|.*experts_implementation.*|.*name_or_path|"
    r"custom_pipelines|trust_remote_code|transformers_weights|fusion_config|distributed_config|"
    r"_commit_hash|adapter.*_config|(torch_)?dtype|.*_(path|file|kwargs)"
)
"""Keys by which a configuration could choose code, files or kernels; none is handed on."""
_GENERIC = re.compile(r"LABEL_\d+")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What a ``config.json`` says.

    Args:
        folder: Where it is.
        model_type: The library's name of the architecture.
        architectures: The classes it was saved from.
        outputs: How many numbers its head gives.
        labels: Their names, one for each output.
        problem: What the numbers are: one of ``PROBLEMS``.
        version: The version of transformers that wrote it.
        code: Whether it names code to import.
        values: Everything that the library may read.
    """

    folder: Path
    model_type: str
    architectures: tuple[str, ...]
    outputs: int
    labels: tuple[str, ...]
    problem: str
    version: str
    code: bool
    values: Mapping[str, Any]

    @property
    def where(self) -> str:
        """What messages call the file."""
        return str(self.folder / CONFIG)

    @property
    def has_head(self) -> bool:
        """Whether the model has a head for texts."""
        return any(name.endswith(SUFFIX) for name in self.architectures)

    @property
    def has_weights(self) -> bool:
        """Whether weights, or an index of them, are beside the file."""
        return any((self.folder / name).is_file() for name in (WHOLE, INDEX))

    def weights(self) -> list[Path]:
        """Return the files with its weights.

        Raises:
            FormatError: There are none, or the index is no index of plain file names.
            IntegrityError: One of them is missing.
        """
        whole = self.folder / WHOLE
        if whole.is_file():
            return [whole]
        if not (self.folder / INDEX).is_file():
            raise FormatError(
                f"{self.folder} holds no safetensors weights",
                hint="ask its author to publish safetensors",
            )
        return _shards(self.folder)


def _shards(folder: Path) -> list[Path]:
    where = str(folder / INDEX)
    names = _json(folder / INDEX, where).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise FormatError(f"{where} has no weight_map", hint="fetch it again")
    for name in names.values():
        if not isinstance(name, str) or not weight_names.fullmatch(name):
            raise FormatError(
                f"{where} names {shown(name)}, which is no name of a file with weights",
                hint="do not use this repository",
            )
    paths = [folder / name for name in sorted(set(names.values()))]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise IntegrityError(
            f"{folder} lacks {', '.join(missing)}, which {INDEX} names", hint="fetch it again"
        )
    return paths


def generic(labels: tuple[str, ...]) -> bool:
    """Return whether labels are what the library calls them when nobody named them."""
    return all(_GENERIC.fullmatch(label) for label in labels)


def read_config(folder: Path) -> ModelConfig:
    """Read the ``config.json`` of a folder.

    Raises:
        FormatError: It is none; what is wrong is told by its key.
    """
    where = str(folder / CONFIG)
    values = _json(folder / CONFIG, where)
    model_type = values.get("model_type")
    if not _is_name(model_type):
        _refuse(f"{where}: model_type = {shown(model_type)} is no name of an architecture")
    architectures = values.get("architectures") or []
    if not isinstance(architectures, list) or not all(map(_is_name, architectures)):
        _refuse(f"{where}: architectures = {shown(architectures)} is no list of names")
    if values.get("quantization_config"):
        _refuse(
            f"{where}: its weights are quantized in a form of their own (quantization_config), "
            "which is not read",
            "use the model that it was made from",
        )
    outputs, labels = _labels(values, where)
    return ModelConfig(
        folder,
        model_type,
        tuple(architectures),
        outputs,
        labels,
        _problem(values.get("problem_type"), outputs, where),
        str(values.get("transformers_version") or "")[:40],
        bool(values.get("auto_map")),
        _harmless(values),
    )


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and re.fullmatch(r"[\w-]{1,100}", value) is not None


def _labels(values: Mapping[str, Any], where: str) -> tuple[int, tuple[str, ...]]:
    """Return the number of outputs and a name of each."""
    names, count = values.get("id2label"), values.get("num_labels")
    if not names:
        count = 2 if count is None else count  # the library's own default
        if not isinstance(count, int) or not 1 <= count <= MOST_OUTPUTS:
            _refuse(f"{where}: num_labels = {shown(count)} is no number of labels")
        return count, tuple(f"LABEL_{number}" for number in range(count))
    numbers = [str(n) for n in range(len(names))] if isinstance(names, dict) else []
    if not numbers or sorted(names) != sorted(numbers) or len(names) > MOST_OUTPUTS:
        _refuse(f"{where}: id2label does not name the outputs 0, 1, 2 and so on")
    labels = tuple(names[number] for number in numbers)
    if not all(map(_is_label, labels)):
        _refuse(f"{where}: id2label holds a label that is no text of 1 to {LABEL} letters")
    return len(labels), labels


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LABEL and value.isprintable()


def _problem(given: Any, outputs: int, where: str) -> str:
    if given is None:
        return "regression" if outputs == 1 else SINGLE
    if not isinstance(given, str) or given not in PROBLEMS:
        _refuse(f"{where}: problem_type = {shown(given)} is no problem that the library knows")
    if given == "regression" and outputs > 1:
        _refuse(
            f"{where}: it predicts {outputs} numbers for a text, and one can be served here",
            "use a model with one output",
        )
    return str(given)


def _harmless(value: Any) -> Any:
    """Return a value without the keys that are never handed on, at any depth."""
    if isinstance(value, dict):
        return {k: _harmless(v) for k, v in value.items() if not LEFT_OUT.fullmatch(k)}
    return [_harmless(item) for item in value] if isinstance(value, list) else value


def _json(path: Path, where: str) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            _refuse(f"{where} has more than {MOST_BYTES:,} bytes, which none has")
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        _refuse(f"{where} is missing")
    except (OSError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        _refuse(f"{where} holds no JSON object")
    return values


def _refuse(message: str, hint: str = "fetch it again, or ask its author for it") -> NoReturn:
    raise FormatError(message, hint=hint)
