"""What PEFT and transformers publish, as readers of ``hub_core.readers``; light until opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hub_core import adapter_config
from hub_core.errors import FormatError
from hub_core.readers import Given, refuse_unsafe
from hub_core.wording import named
from hub_transformers.foreign_config import (
    CONFIG,
    INDEX,
    WHOLE,
    ModelConfig,
    generic,
    read_config,
    weight_names,
)
from hub_transformers.foreign_header import measured
from hub_transformers.foreign_methods import METHODS, QUIET

if TYPE_CHECKING:
    from hub_core.library import Opened

ADAPTER = "adapter_model.safetensors"
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)
Facts = list[tuple[str, str]]


def _there(names: tuple[str, ...], files: Mapping[str, int]) -> list[str]:
    return [name for name in names if name in files]


class PeftReader:
    """Plain adapters of PEFT: ``adapter_config.json`` and ``adapter_model.safetensors``."""

    def wanted(self, files: Mapping[str, int]) -> list[str] | None:
        """Return the two files and a tokenizer, if this is an adapter."""
        if adapter_config.NAME not in files:
            return None
        if ADAPTER not in files:
            refuse_unsafe(files)
            raise FormatError(
                f"there is {adapter_config.NAME}, but no {ADAPTER}; it holds "
                f"{named(sorted(files))}",
                hint="ask its author for an adapter in the format of PEFT, with safetensors",
            )
        return [adapter_config.NAME, ADAPTER, *_there(TOKENIZER, files)]

    def describe(self, folder: Path) -> Facts:
        """Return what the configuration says and how large the adapter is."""
        path = folder / adapter_config.NAME
        config = adapter_config.parse_adapter_config(path, str(path), known=METHODS)
        modules = config.target_modules
        facts = [
            ("kind", "adapter of PEFT; its base model is fetched"),
            ("method", config.peft_type),
            ("rank", str(config.r) if config.r else ""),
            ("modules", modules if isinstance(modules, str) else ", ".join(sorted(modules or ()))),
            ("whole modules", ", ".join(config.modules_to_save or ())),
            ("task", config.task_type or "not said"),
            ("base model", config.base_model_name_or_path or "not said"),
            ("its revision", config.revision or "not said"),
            ("labels", "not said; adapters of PEFT never do"),
            *measured([folder / ADAPTER]),
            ("written by", f"peft {config.peft_version}" if config.peft_version else ""),
            ("not read", ", ".join(key for key in config.dropped if key not in QUIET)),
        ]
        return _told(facts)

    def open(self, folder: Path, given: Given) -> Opened:
        """Find the base model, put the adapter on it, and serve it."""
        from hub_transformers.foreign_peft import open_adapter

        return open_adapter(folder, given)


class TransformersReader:
    """Whole models of transformers: ``config.json`` and safetensors, in one file or several."""

    def wanted(self, files: Mapping[str, int]) -> list[str] | None:
        """Return configuration, weights and tokenizer, if this is a model."""
        if CONFIG not in files or adapter_config.NAME in files:
            return None
        if INDEX in files and WHOLE not in files:
            weights = [INDEX, *sorted(n for n in files if weight_names.fullmatch(n))]
        else:
            weights = [WHOLE] if WHOLE in files else []
        if not weights:
            refuse_unsafe(files)
            return None
        return [CONFIG, *weights, *_there(TOKENIZER, files)]

    def describe(self, folder: Path) -> Facts:
        """Return what the configuration says and how large the model is."""
        config = read_config(folder)
        facts = [
            ("kind", "model of transformers; no other model is needed"),
            ("type", config.model_type),
            ("architecture", ", ".join(config.architectures) or "not said"),
            *_task(config),
            *measured(config.weights() if config.has_weights else ()),
            ("written by", f"transformers {config.version}" if config.version else ""),
            ("code", "it names code to import, which is never run" if config.code else ""),
        ]
        return _told(facts)

    def open(self, folder: Path, given: Given) -> Opened:
        """Load the model with its own head, and serve it."""
        from hub_transformers.foreign_open import open_model

        return open_model(folder, given)


def _told(facts: Facts) -> Facts:
    """Return facts that say something, with nothing in them that a terminal would obey."""
    return [(name, text if text.isprintable() else ascii(text)) for name, text in facts if text]


def _task(config: ModelConfig) -> Facts:
    if not config.has_head:
        return [("task", "none that is served here")]
    if config.problem == "regression":
        return [("task", "regression")]
    labels = "not said" if generic(config.labels) else ", ".join(config.labels)
    return [("task", config.problem), ("labels", labels)]


PEFT = PeftReader()
TRANSFORMERS = TransformersReader()
