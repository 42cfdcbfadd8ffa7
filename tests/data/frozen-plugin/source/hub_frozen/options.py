"""Options of the methods."""

from pydantic import Field

from hub_core.options import Options


class StackOptions(Options):
    """Which random weights."""

    seed: int = Field(0, ge=0, description="which random weights")


class ShiftOptions(Options):
    """How fast, and for whom."""

    scale: float = Field(2.0, gt=0, description="factor on the vectors' rate")
    penalty: float = Field(0.01, ge=0, description="how much the size of the scores costs")
