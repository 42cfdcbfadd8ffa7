"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hub_core.cli.flags import Flags

Command = TypeVar("Command", bound=Callable[..., Any])


def column_flag(text: str) -> Callable[[Command], Command]:
    """Return the option ``--column`` with its help."""
    return click.option("--column", "columns", multiple=True, metavar="ROLE=NAME", help=text)


_TASK = (
    click.option(
        "--data",
        multiple=True,
        metavar="FILE",
        help="Training data: CSV, TSV, JSONL, Parquet, Arrow; 'data/*.csv', hub:OWNER/NAME.",
    ),
    click.option("--validation", metavar="FILE|SHARE", help="Validation data; default: 0.1."),
    click.option("--test", metavar="FILE|SHARE", help="Test data; default: 0.1."),
    column_flag("Where a role's column has another name."),
    click.option("--task", metavar="NAME", help="The task of these flags and of --head."),
)
_METHODS = (
    click.option(
        "--backbone",
        metavar="MODEL|METHOD[=MODEL]",
        help="The pre-trained model: a Hub id, a folder or a method.",
    ),
    click.option("--head", metavar="METHOD", help="What is predicted."),
    click.option(
        "--strategy",
        "strategies",
        multiple=True,
        metavar="METHOD",
        help="How it is tuned; several are applied in order.",
    ),
    click.option(
        "--compress",
        "compressors",
        multiple=True,
        metavar="METHOD",
        help="How it is made smaller; several are applied in order.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="One value, such as training.patience=2 or METHOD.OPTION=VALUE.",
    ),
)
_TRAINING = (
    click.option("--epochs", type=int, help="Passes over the training data."),
    click.option("--learning-rate", type=float, help="Default: the strategy's own."),
    click.option("--seed", type=int, help="Feeds every random choice."),
    click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"])),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"])),
    click.option("--threads", type=int, help="Processor threads; 0 leaves one core free."),
    click.option("--cache-limit", type=int, metavar="MIB", help="For features of frozen layers."),
    click.option(
        "--tracker", metavar="NAME", help="An experiment tracker, such as tensorboard or wandb."
    ),
)
_TRAINING_KEYS = ("epochs", "learning_rate", "seed", "precision", "device", "threads", "tracker",
                  "cache_limit")  # fmt: skip


def recipe_flags(command: Command) -> Command:
    """Add every flag that decides a recipe; ``flags_from`` gathers what was given."""
    for option in reversed(_TASK + _METHODS + _TRAINING):
        command = option(command)
    return command


def flags_from(given: Mapping[str, Any]) -> Flags:
    """Return the flags of ``recipe_flags`` as one object."""
    from hub_core.cli.flags import Flags

    training = {key: given[key] for key in _TRAINING_KEYS if given[key] is not None}
    rest = {key: value for key, value in given.items() if key not in _TRAINING_KEYS}
    return Flags(training=training, **rest)


def json_flag(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def place_flag(command: Command) -> Command:
    """Add ``--backbone`` for loading an artifact."""
    return click.option(
        "--backbone",
        default="",
        metavar="PATH|ID",
        help="Where its backbone is, if not where it was last used.",
    )(command)


def task_flags(command: Command) -> Command:
    """Add ``--task`` and ``--column`` for data that are given to an artifact."""
    named = column_flag("Where a role's column has another name than in training.")
    task = click.option("--task", default="", help="The task, where the artifact has several.")
    return task(named(command))


def given_flags(command: Command) -> Command:
    """Add ``--label`` and ``--head-file``, for what other libraries published without them."""
    for option in (
        click.option(
            "--head-file",
            default="",
            metavar="FILE",
            help="For a repository without a head: a safetensors file with weight and bias.",
        ),
        click.option(
            "--label",
            "labels",
            multiple=True,
            metavar="NAME",
            help="For a repository without names of labels: each of them, in its order.",
        ),
    ):
        command = option(command)
    return command
