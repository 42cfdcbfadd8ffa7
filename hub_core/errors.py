"""Every error a user can meet, as one tree.

    HubError
    ├── PluginError            a plugin that cannot be used, with the reason
    ├── InstallError           a plugin that cannot be installed or removed
    ├── RegistryError          a registry that cannot be had, read or trusted
    ├── UnknownMethodError     no installed plugin provides the name
    ├── AmbiguousMethodError   several plugins provide the name
    ├── OptionsError           options that do not fit their method, all at once
    ├── RecipeError            a recipe that cannot be read
    ├── DataError              a file, row or column that cannot be used
    ├── IncompatibleError      parts that do not compose, all reasons at once
    ├── TrainingError          training that cannot go on
    ├── ArtifactError          an artifact that cannot be written or read
    │   ├── FormatError        a format or a file that we do not know
    │   ├── IntegrityError     bytes or outputs that are not what was saved
    │   └── BaseMismatchError  another backbone than the one it was trained on
    └── RemoteError            the Hub has it not, or cannot be reached

A message says what is wrong and where; ``hint`` says what to do next. The command line prints
both and exits with 1. Any other exception is a bug and shows its trace.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HubError(Exception):
    """The root: a message for people, and a hint that says what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class PluginError(HubError):
    """A plugin is broken, incompatible or disabled, and something of it was asked for."""


class InstallError(HubError):
    """A plugin that cannot be installed or removed; the environment is as it was."""


class RegistryError(HubError):
    """A registry that cannot be had, read or trusted."""


class UnknownMethodError(HubError):
    """No installed plugin provides a method of that name and kind."""


class AmbiguousMethodError(HubError):
    """Several installed plugins provide a method of that name and kind."""


class OptionsError(HubError):
    """Options that do not fit their method; the message lists every one."""


class RecipeError(HubError):
    """A recipe or a flag that cannot be understood."""


class DataError(HubError):
    """Data that cannot be used; the message names file, row and column."""


class IncompatibleError(HubError):
    """Parts that do not compose; the message lists every unmet requirement."""


class TrainingError(HubError):
    """Training that cannot go on, for example because the loss is not a number."""


class ArtifactError(HubError):
    """An artifact that cannot be written or read."""


class FormatError(ArtifactError):
    """A folder, file or format version that is no artifact of ours."""


class IntegrityError(ArtifactError):
    """Bytes, tensors or outputs that differ from what was saved."""


class BaseMismatchError(ArtifactError):
    """The backbone that was found is not the one that the artifact was trained on."""


class RemoteError(HubError):
    """The Hub cannot be reached, or does not have what was asked for."""


def near(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known name closest to ``name``, else an empty text."""
    match = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean '{match[0]}'?" if match else ""


def listed(lines: Iterable[str]) -> str:
    """Return the lines as an indented list that follows a message's first line."""
    return "".join(f"\n  - {line}" for line in lines)
