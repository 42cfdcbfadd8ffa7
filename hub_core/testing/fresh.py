"""The new process of the suites: load artifacts with the toys on offer, print what came out.

Run as ``python -m hub_core.testing.fresh``; what it is given on its standard input, and the last
line that it prints, are JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from hub_core import fresh
from hub_core.catalog import Plugin, offering
from hub_core.testing.surroundings import TOYS


def check(folder: str) -> dict[str, Any]:
    """Return what comparing one artifact found, or why it could not be loaded."""
    try:
        return fresh.check(folder, "")
    except Exception as error:  # a part may raise anything, and the next artifact has its turn
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Check every folder and print the findings."""
    torch.set_num_threads(1)
    given = json.load(sys.stdin)
    with offering(TOYS, *(Plugin(*values) for values in given["plugins"])):
        print("\n" + json.dumps([check(folder) for folder in given["folders"]]))


if __name__ == "__main__":
    main()
