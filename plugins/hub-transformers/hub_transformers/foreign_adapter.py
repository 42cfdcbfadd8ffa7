"""An adapter of PEFT as its two files give it, checked before anything is built from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hub_core import adapter_config
from hub_core.adapter_config import AdapterConfig, parse_adapter_config
from hub_core.errors import FormatError, IntegrityError
from hub_core.readers import refuse_unsafe
from hub_core.wording import shown
from hub_transformers.foreign import ADAPTER
from hub_transformers.foreign_load import read_tensors
from hub_transformers.foreign_methods import CHANGING, METHODS, STARTS

LARGEST = 100_000
"""Of a whole number that is no seed."""
STRANGER = "do not use this repository"
TASKS = ("SEQ_CLS", "FEATURE_EXTRACTION", None)
Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as its two files give it."""

    folder: Path
    config: AdapterConfig
    tensors: Tensors

    @property
    def where(self) -> str:
        """What messages call its configuration."""
        return str(self.folder / adapter_config.NAME)

    @property
    def prefix(self) -> str:
        """What stands before the base model's own names: prompts are put around, not into it."""
        return "base_model." if self.taken else "base_model.model."

    @property
    def promises_head(self) -> bool:
        """Whether its configuration says that a head is among its tensors."""
        return bool({"classifier", "score"} & set(self.config.modules_to_save or ()))

    @property
    def taken(self) -> int:
        """Positions of the base model's input that the adapter takes."""
        return int(self.config.rest.get("num_virtual_tokens") or 0)


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter.

    Raises:
        FormatError: It is of a kind that is not read here; the reason is told.
        IntegrityError: Its files do not belong together, or are not whole.
    """
    where = str(folder / adapter_config.NAME)
    config = parse_adapter_config(folder / adapter_config.NAME, where, known=METHODS)
    if not (folder / ADAPTER).is_file():
        refuse_unsafe({path.name: 0 for path in folder.iterdir()})
        raise FormatError(f"{folder} lacks {ADAPTER}", hint="fetch it again")
    if config.task_type not in TASKS:
        raise FormatError(
            f"{where}: it was trained for {config.task_type}, and what is served here are SEQ_CLS, "
            "and FEATURE_EXTRACTION with a head",
            hint="use an adapter for one label, several labels or a number for a text",
        )
    if changing := sorted(CHANGING & set(config.dropped)):
        raise FormatError(
            f"{where}: it needs {', '.join(changing)}, which is not read here",
            hint="use it with PEFT itself",
        )
    start = config.rest.get("init_lora_weights", True)
    if not isinstance(start, bool | str) or start not in STARTS:
        raise FormatError(
            f"{where}: init_lora_weights = {shown(start)} changed the base model's own weights, "
            "which are not in this repository",
            hint="ask its author to convert the adapter to a plain one, as PEFT describes",
        )
    adapter = Adapter(folder, config, read_tensors(folder / ADAPTER))
    _check_sizes(adapter)
    return adapter


def _check_sizes(adapter: Adapter) -> None:
    """Refuse sizes that no tensor of the adapter has, before anything is built from them."""
    largest = max((max(t.shape, default=0) for t in adapter.tensors.values()), default=0)
    pattern = adapter.config.rest.get("rank_pattern")
    ranks = {"r": adapter.config.r, **(pattern if isinstance(pattern, dict) else {})}
    for key, size in ranks.items():
        if isinstance(size, int) and size > largest:
            raise IntegrityError(
                f"{adapter.where}: {key} = {size}, but no tensor of {ADAPTER} is that large",
                hint="fetch both files again",
            )
    for key, value in adapter.config.rest.items():
        if isinstance(value, int) and value > LARGEST and "prng" not in key:
            raise FormatError(
                f"{adapter.where}: {key} = {value}, which no adapter needs", hint=STRANGER
            )
    if "num_virtual_tokens" in METHODS[adapter.config.peft_type]:
        _check_prompt(adapter)


def _check_prompt(adapter: Adapter) -> None:
    """Refuse a prompt of another size than its tensor has."""
    prefix = adapter.config.peft_type == "PREFIX_TUNING"
    keys = ("num_virtual_tokens", "token_dim", *(["num_layers"] if prefix else []))
    sizes = [adapter.config.rest.get(key) for key in (*keys, "num_transformer_submodules")]
    there = adapter.tensors.get("prompt_embeddings")
    whole = [size for size in sizes if type(size) is int and size > 0]
    wanted = math.prod(whole) * (2 if prefix else 1)
    if there is None or len(whole) < len(sizes) or there.numel() != wanted:
        shape = "not there" if there is None else f"of shape {list(there.shape)}"
        raise IntegrityError(
            f"{adapter.where}: {', '.join(keys)} and num_transformer_submodules are "
            f"{shown(sizes)}, but prompt_embeddings is {shape}",
            hint="fetch both files again",
        )
