"""``hub.json``: everything about an artifact that can be known without torch.

Formats are read for ever: a field is added with a default, never renamed or removed. A newer
format is refused by name rather than half understood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hub_core.errors import FormatError, IntegrityError, listed
from hub_core.identity import sha256_of

FORMAT = 1
NAME = "hub.json"
MAX_BYTES = 16 * 2**20
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class MethodEntry(_Entry):
    """A method that is needed, and the plugin that provided it."""

    kind: Literal["backbone", "head", "strategy", "compressor"]
    name: str
    plugin: str
    distribution: str
    version: str
    state: Any = None


class FileEntry(_Entry):
    """A file of the artifact: sha256 and size in bytes."""

    sha256: Sha256
    size: int = Field(ge=0)


class BackboneEntry(_Entry):
    """The backbone's identity; ``name`` is for people."""

    fingerprint: Sha256
    config: Sha256
    hint: str = ""
    name: str = ""


class TaskEntry(_Entry):
    """A task as it was trained: labels in order, columns by role, metrics by split.

    ``facts`` is what its head says of itself, such as how it pools.
    """

    labels: list[str] = Field(default_factory=list)
    columns: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    examples: dict[str, int] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)
    facts: dict[str, str] = Field(default_factory=dict)


class EffectEntry(_Entry):
    """A model before its compressors (``trained``), or after one of them.

    ``bytes`` is what its tensors take in a file, ``memory`` what they take when it is loaded.
    ``latency`` is in seconds for one example, ``throughput`` in examples a second of a batch, both
    0 where nothing was timed; ``metrics`` are of validation, by task.
    """

    step: str
    bytes: int = Field(ge=0)
    memory: int = Field(ge=0)
    latency: float = Field(default=0.0, ge=0)
    throughput: float = Field(default=0.0, ge=0)
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)


class Proof(_Entry):
    """What the saving machine measured when a fresh process loaded the artifact.

    ``tolerance`` is the largest accepted difference, as a share of the outputs' scale;
    ``elsewhere`` the one for other machines.
    """

    rows: int
    difference: float
    tolerance: float
    elsewhere: float


class Manifest(_Entry):
    """The content of ``hub.json``.

    ``history`` has what was told of each epoch; the one whose model was kept says ``best``.
    """

    format: int = Field(default=FORMAT, strict=True, ge=1, le=FORMAT)
    recipe: dict[str, Any]
    methods: list[MethodEntry]
    backbone: BackboneEntry
    tasks: dict[str, TaskEntry]
    form: Literal["delta", "whole"]
    tensors: list[str]
    renamed: dict[str, dict[str, str]] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(default_factory=dict)
    proof: Proof | None = None
    parameters: dict[str, int] = Field(default_factory=dict)
    report: dict[str, float] = Field(default_factory=dict)
    effects: list[EffectEntry] = Field(default_factory=list)
    history: list[dict[str, Any]] = Field(default_factory=list)
    seconds: float = 0.0
    environment: dict[str, str] = Field(default_factory=dict)
    lineage: list[dict[str, Any]] = Field(default_factory=list)

    @field_validator("files")
    @classmethod
    def _safe_names(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            if not FILE_NAME.fullmatch(name) or name.lower() == NAME:
                raise ValueError(f"file name {name!r} is not allowed")
        return files


def read(folder: Path) -> Manifest:
    """Read and check ``hub.json``; hashes are not checked here.

    Raises:
        FormatError: No artifact, a newer format, or content that breaks the schema.
    """
    path = folder / NAME
    if not path.is_file():
        raise FormatError(
            f"{folder} is no artifact: it has no {NAME}",
            hint="name a folder that 'hub train' wrote",
        )
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(f"{path} is larger than {MAX_BYTES} bytes")
    try:
        values = json.loads(path.read_text("utf-8"))
        found = values.get("format") if isinstance(values, dict) else None
        if isinstance(found, int | float) and found > FORMAT:
            raise FormatError(
                f"{path} has format {found}, this hub-core reads up to {FORMAT}",
                hint="update hub-core",
            )
        return Manifest.model_validate(values)
    except ValidationError as error:
        problems = [_problem(found) for found in error.errors()]
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise FormatError(f"{path} is not a manifest:{listed(problems[:10] + more)}") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON: {error}") from None


def _problem(error: Mapping[str, Any]) -> str:
    where = ".".join(map(str, error["loc"]))
    text = error["msg"].removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    return f"{where}: {text}" if where else text


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare size and sha256 of every file, and refuse what could be read and is not listed.

    Raises:
        IntegrityError: Files are missing, changed or unlisted; all are told.
    """
    problems = []
    for name, entry in manifest.files.items():
        path = folder / name
        if path.is_symlink():
            problems.append(f"{name} is a link, not a file")
        elif not path.is_file():
            problems.append(f"{name} is missing")
        elif path.stat().st_size != entry.size:
            problems.append(f"{name} has {path.stat().st_size} bytes, not {entry.size}")
        elif (actual := sha256_of(path)) != entry.sha256:
            problems.append(f"{name} has sha256 {actual[:16]}…, not {entry.sha256[:16]}…")
    problems += [
        f"{path.name} is not listed in {NAME}"
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in (".safetensors", ".json")
        and path.name not in {NAME, *manifest.files}
    ]
    if problems:
        raise IntegrityError(
            f"{folder} is not what was saved:{listed(problems)}",
            hint="take the artifact again from where it came",
        )


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Return sha256 and size of every file in a folder but ``hub.json``."""
    return {
        path.name: FileEntry(sha256=sha256_of(path), size=path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.name != NAME
    }


def write(folder: Path, manifest: Manifest) -> None:
    """Write ``hub.json``."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")
