"""Options of the strategies by which whole layers take turns, and of projected gradients."""

from typing import Literal

from pydantic import Field

from hub_core.options import Options


class GradualUnfreezingOptions(Options):
    """When the layers thaw, and how much slower the lower ones learn."""

    every: float = Field(
        0,
        ge=0,
        description="epochs from one group to the next, 1 in the paper; 0 thaws evenly within over",
    )
    over: float = Field(
        0.5, gt=0, lt=1, description="share of the run after which all has thawed, for every = 0"
    )
    layers_at_once: int = Field(1, ge=1, description="how many layers thaw together")
    decay: float = Field(
        1.1, ge=1, le=10, description="a layer's rate over that of the layer below, 2.6 in ULMFiT"
    )
    schedule: Literal["usual", "slanted"] = Field(
        "usual", description="the recipe's warm-up and decay, or the slanted triangle"
    )
    cut: float = Field(
        0.1, gt=0, lt=1, description="share of the steps in which the slanted rate rises"
    )
    ratio: float = Field(
        32, ge=1, description="the slanted triangle's highest rate over its lowest"
    )


class LisaOptions(Options):
    """How many layers train, and for how long."""

    active: int = Field(1, ge=1, description="how many layers train at a time")
    period: int = Field(20, ge=1, description="steps until other layers are drawn")


class BlockCoordinateOptions(Options):
    """Which blocks take turns, and for how long."""

    steps: int = Field(
        0, ge=0, description="steps for each block; 0 is an epoch's, divided by the blocks"
    )
    order: Literal["random", "ascending", "descending"] = Field(
        "random", description="drawn anew in each pass, from the bottom up, or from the top down"
    )
    embeddings: bool = Field(
        False, description="whether the embeddings are a block too; otherwise they stay frozen"
    )


class GaloreOptions(Options):
    """How gradients are projected."""

    rank: int = Field(8, ge=1, description="dimensions that are left of a matrix's short side")
    every: int = Field(200, ge=1, description="steps until the projection is computed anew")
    scale: float = Field(
        0.25, gt=0, description="factor on projected updates; 4 in the paper's GLUE scripts"
    )
