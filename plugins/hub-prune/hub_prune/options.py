"""Options of pruning."""

from typing import Literal

from pydantic import Field

from hub_core.options import Options


class MagnitudeOptions(Options):
    """How many weights go, and among which they are compared."""

    sparsity: float = Field(0.5, ge=0, lt=1, description="share of weights set to zero")
    scope: Literal["layer", "global"] = Field(
        "layer", description="compare weights within each layer, or over all layers"
    )
