"""Options of heads over a pooled text."""

from typing import Literal

from pydantic import Field

from hub_core.options import Options


class PooledOptions(Options):
    """How hidden states become one vector, and what happens to it."""

    pooling: Literal["auto", "first", "mean", "max", "last"] = Field(
        "auto", description="which hidden states count; auto: what suits the backbone"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the vector dropped in training")
