"""Where the base model of somebody's adapter is: what the file says is only a hint."""

from __future__ import annotations

import re
from pathlib import Path

from hub_core.adapter_config import AdapterConfig
from hub_core.errors import FormatError
from hub_core.readers import Given
from hub_core.wording import shown
from hub_transformers.places import Place, from_hub, named_place

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def base_of(config: AdapterConfig, given: Given, where: str) -> Place:
    """Return the place of an adapter's base model.

    What the user gives is a wish; what the file gives is followed only if it is a repository at a
    full commit, which nobody can change afterwards.

    Raises:
        FormatError: The file names a folder, an address, a branch or nothing.
        IncompatibleError: The model cannot be found or fetched.
    """
    if given.backbone:
        return _wished(given.backbone)
    claimed, revision = config.base_model_name_or_path or "", config.revision or ""
    if _REPOSITORY.fullmatch(claimed) and _COMMIT.fullmatch(revision):
        return from_hub(claimed, revision, weights=True)
    if not claimed:
        raise FormatError(
            f"{where} names no base model", hint="say which it is: --backbone NAME-OR-FOLDER"
        )
    if not _REPOSITORY.fullmatch(claimed):
        raise FormatError(
            f"{where} says that its base model is {shown(claimed)}, which is no owner/name on the "
            "Hub and is never followed",
            hint="if you know the model and trust it: --backbone NAME-OR-FOLDER",
        )
    raise FormatError(
        f"{where} says that its base model is {shown(claimed)}, but not at which commit, and what "
        "a name means can change",
        hint=f"if that is the model you want: --backbone {claimed}",
    )


def _wished(text: str) -> Place:
    """Return the place that the user names: a folder, or ``owner/name`` with ``@revision``."""
    name, _, revision = text.partition("@")
    if not revision or Path(text).expanduser().is_dir():
        return named_place(text, "", weights=True)
    return named_place(name, revision, weights=True)
