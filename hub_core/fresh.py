"""The checking process: load artifacts with other random numbers and no data, print what came out.

Run as ``python -m hub_core.fresh PLACE FOLDER...``; the last line printed is JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from hub_core.errors import HubError
from hub_core.loading import load
from hub_core.proof import compare


def check(folder: str, place: str) -> dict[str, Any]:
    """Return what comparing one artifact found, or why it could not be loaded."""
    torch.manual_seed(987654321)  # what an artifact does not hold must show as a difference
    try:
        found = compare(load(Path(folder), backbone=place))
    except HubError as error:
        return {"error": error.message}
    return {"rows": found.rows, "difference": found.difference, "same": found.same}


def main(place: str, *folders: str) -> None:
    """Check every folder and print the findings."""
    torch.set_num_threads(1)
    print(json.dumps([check(folder, place) for folder in folders]))


if __name__ == "__main__":
    main(*sys.argv[1:])
