"""Options of the toys."""

from __future__ import annotations

from pydantic import Field

from hub_core.options import Options


class BodyOptions(Options):
    """Which weights, and how many."""

    seed: int = Field(0, ge=0, description="which random weights are the pre-trained ones")
    width: int = Field(32, ge=8, le=256, multiple_of=4, description="width of the hidden states")
