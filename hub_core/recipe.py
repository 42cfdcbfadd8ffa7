"""Recipes: one backbone, one head per task, strategies, compressors and how to train.

TOML or a mapping becomes one frozen ``Recipe``, with every problem told at once. Method names and
their options are checked later, by the catalog, because the core knows no method by name.
"""

from __future__ import annotations

import glob
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)

from hub_core.errors import RecipeError, listed, near

TASK_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Choice(BaseModel):
    """A method by name, with its options beside the name: ``{name = "lora", r = 16}``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        if not isinstance(value, str | Mapping | Choice):
            raise ValueError("must be a name, or a table with a name")
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """The options as given, not yet checked."""
        return dict(self.model_extra or {})


def _files(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError("must be a file name or a list of file names")
    return value


def _files_or_share(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value)
    try:
        return _files(value)
    except ValueError:
        raise ValueError(
            "must be file names, or a share of the data from 0 to less than 1"
        ) from None


def _task_name(name: str) -> str:
    if not TASK_NAME.fullmatch(name):
        raise ValueError("a task's name has lowercase letters, digits, '-' and '_', a letter first")
    return name


_File = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, lt=1)]
_Several = Annotated[list[_File], Field(min_length=1)]
Files = Annotated[str | list[str], PlainValidator(_files, json_schema_input_type=_File | _Several)]
FilesOrShare = Annotated[
    str | list[str] | float,
    PlainValidator(_files_or_share, json_schema_input_type=_File | _Several | _Share),
]
TaskName = Annotated[str, AfterValidator(_task_name)]


class TaskRecipe(_Strict):
    """A task: its head and its data.

    ``validation`` and ``test`` are files, or shares of ``data`` that are split off with the seed,
    keeping the labels' shares; ``0`` splits nothing off.
    """

    head: Choice
    data: Files | None = None
    validation: FilesOrShare = 0.1
    test: FilesOrShare = 0.1
    columns: dict[str, str] = Field(default_factory=dict)
    labels: list[str] | None = None

    @model_validator(mode="after")
    def _shares_leave_something(self) -> TaskRecipe:
        shares = [s for s in (self.validation, self.test) if isinstance(s, (int, float))]
        if sum(shares) >= 1:
            raise ValueError("validation and test together take all of the data")
        return self

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: list[str] | None) -> list[str] | None:
        if labels is not None and not labels:
            raise ValueError("must name the labels; leave it out to take those of the data")
        for label in labels or ():
            if not label.strip() or label != label.strip():
                raise ValueError(f"the label {label!r} has spaces around it")
            if (labels or []).count(label) > 1:
                raise ValueError(f"the label {label!r} is named twice")
        return labels


class Training(_Strict):
    """How to train; rates in [0, 1], lengths in tokens."""

    epochs: int = Field(3, ge=1, description="passes over the training data, over all stages")
    learning_rate: float | None = Field(None, gt=0, description="default: the strategy's own")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay, not for biases and norms")
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps with a rising rate")
    batch_tokens: int = Field(1024, ge=1, description="tokens in a batch, padding included")
    batch_examples: int = Field(32, ge=1, description="examples in a batch, at most")
    clip: float = Field(1.0, ge=0, description="largest gradient norm; 0 never clips")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="of the computation")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to train")
    threads: int = Field(0, ge=0, description="processor threads; 0 leaves one core free")
    seed: int = Field(0, ge=0, lt=2**32, description="feeds every random choice")
    metric: str = Field(
        "", description="what the best checkpoint is chosen by; default: the head's"
    )
    patience: int = Field(0, ge=0, description="epochs without a gain before stopping; 0: never")
    accumulate: int = Field(1, ge=1, description="batches that make one optimizer step")
    gradient_checkpointing: bool = Field(
        False, description="compute layers again going backward: less memory, more time"
    )
    compile: bool = Field(False, description="compile the layers; pays only in long runs")
    cache_limit: int = Field(
        4096, ge=0, description="MiB for features of frozen layers, computed once; 0: none"
    )
    memory_limit: int = Field(
        512, ge=0, description="MiB of data from which on they are read from disk; 0: never"
    )
    checkpoint_steps: int = Field(0, ge=0, description="steps between checkpoints; 0: every epoch")
    tracker: str = Field(
        "", description="an experiment tracker such as tensorboard or wandb; empty: none"
    )


class Recipe(_Strict):
    """Everything that decides a training run."""

    backbone: Choice
    tasks: dict[TaskName, TaskRecipe] = Field(min_length=1)
    strategies: list[Choice] = Field(default_factory=list)
    compressors: list[Choice] = Field(default_factory=list)
    training: Training = Field(default_factory=lambda: Training.model_validate({}))


def parse(values: Mapping[str, Any], *, source: str = "recipe") -> Recipe:
    """Return the recipe that ``values`` describe.

    Raises:
        RecipeError: Something is missing, unknown or out of bounds; all of it is listed.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = dict.fromkeys(_problem(e) for e in error.errors())
        raise RecipeError(
            f"{source}: this is not a complete recipe:{listed(problems)}",
            hint="'hub init' writes a commented recipe to start from",
        ) from None


def read(path: str | Path) -> dict[str, Any]:
    """Read a TOML recipe into a plain mapping, its data files relative to its own folder.

    Raises:
        RecipeError: The file is missing, not UTF-8 or not TOML.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(
            f"{path}: there is no such recipe", hint="'hub init' writes one"
        ) from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: is not UTF-8", hint="save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"{path}: is not TOML: {error}", hint='put texts in quotes: head = "NAME"'
        ) from None
    _resolve_backbone(path, values.get("backbone"))
    for task in _tables(values.get("tasks")):
        for key in ("data", "validation", "test"):
            if key in task:
                task[key] = _beside(path, task[key])
    return values


def _resolve_backbone(path: Path, choice: Any) -> None:
    """Take a backbone option that names something beside the recipe as that path."""
    if isinstance(choice, dict):
        for key, value in choice.items():
            if key != "name" and isinstance(value, str) and value:
                beside = str(path.parent / value)
                # os.path, because Path.exists raises on texts that are too long to be paths
                choice[key] = beside if os.path.exists(beside) else value  # noqa: PTH110


def _tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        return []
    return [table for table in value.values() if isinstance(table, dict)]


def _beside(path: Path, value: Any) -> Any:
    """Resolve file names relative to the recipe's folder; leave everything else alone."""
    if isinstance(value, list):
        return [_beside(path, item) for item in value]
    if not isinstance(value, str) or value.startswith("hub:"):
        return value
    # what is special in a pattern is not meant where the recipe's own folder has it in its name
    folder = glob.escape(str(path.parent)) if glob.has_magic(value) else path.parent
    return str(Path(folder) / value)


def _problem(error: Mapping[str, Any]) -> str:
    loc = [str(part) for part in error["loc"] if part != "[key]"]
    where = ".".join(loc)
    if error["type"] == "extra_forbidden":
        hint = near(loc[-1], _keys_beside(loc))
        return f"{where}: there is no such key{'; ' + hint if hint else ''}"
    text = _SENTENCES.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    text = text.replace("Input should", "must")
    return f"{where}: {text}" if where else f"it {text}"


def _keys_beside(loc: Sequence[str]) -> Iterable[str]:
    tables: dict[str, type[BaseModel]] = {"tasks": TaskRecipe, "training": Training}
    table = tables.get(loc[0], Recipe) if len(loc) > 1 else Recipe
    return table.model_fields


_SENTENCES = {
    "missing": "must be given",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "list_type": "must be a list",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
