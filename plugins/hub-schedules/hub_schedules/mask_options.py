"""Options of the strategies that mask gradients or weights, or hold them to where they began."""

from typing import Literal

from pydantic import Field

from hub_core.options import Options


class ChildTuningOptions(Options):
    """Which part of the backbone's weights learns."""

    variant: Literal["driven", "free"] = Field(
        "driven",
        description="driven: the layers' weights with the largest Fisher information; "
        "free: others in every step, drawn at random",
    )
    p: float = Field(
        0.3, gt=0, le=1, description="share of weights that learn; 0.1 to 0.3 driven, to 0.4 free"
    )
    batches: int = Field(
        64, ge=1, description="training batches for the Fisher information of driven"
    )


class FishMaskOptions(Options):
    """How many weights change, and how they are chosen."""

    density: float = Field(
        0.005, gt=0, le=1, description="share of the entries of the backbone's matrices that change"
    )
    samples: int = Field(
        1024, ge=1, description="training examples from which the Fisher information is computed"
    )
    batch_size: int = Field(
        1, ge=1, description="examples whose mean gradient is squared; more are faster, 1 is exact"
    )


class MixoutOptions(Options):
    """How much of each weight matrix is as it was pre-trained."""

    p: float = Field(
        0.1, ge=0, lt=1, description="share of weights that are the pre-trained ones in a step"
    )


class PretrainedDecayOptions(Options):
    """How strongly weights are drawn back."""

    strength: float = Field(
        1e-3, gt=0, description="share of the way back in each step, times the learning rate"
    )
