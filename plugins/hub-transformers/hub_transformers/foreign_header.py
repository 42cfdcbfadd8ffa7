"""How large models are, from the headers of their safetensors files; no tensor is read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from hub_core.inert import safetensors_header
from hub_core.wording import counted


def measured(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """Return facts of files with weights: parameters, types and bytes; none without files.

    Raises:
        FormatError: One of them is no whole safetensors file.
    """
    files = [path for path in paths if path.is_file()]
    if not files:
        return []
    headers = [safetensors_header(path) for path in files]
    tensors = [entry for header in headers for n, entry in header.items() if n != "__metadata__"]
    parameters = sum(math.prod(entry["shape"]) for entry in tensors)
    types = ", ".join(sorted({entry["dtype"] for entry in tensors}))
    size = sum(path.stat().st_size for path in files)
    return [
        ("parameters", f"{parameters:,} in {counted(len(tensors), 'tensor')} of {types or 'none'}"),
        ("bytes", f"{size:,} in {counted(len(files), 'file')}"),
    ]
