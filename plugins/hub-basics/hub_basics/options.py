"""Options of the basic strategies."""

from pydantic import Field

from hub_core.options import Options


class EncoderOnlyOptions(Options):
    """How the probe is trained before the encoder."""

    probe_share: float = Field(
        0.34, gt=0, lt=1, description="share of the epochs in which only the head trains"
    )
    probe_learning_rate: float = Field(1e-2, gt=0, description="rate of the head in those epochs")


class TopLayersOptions(Options):
    """How much of the backbone trains."""

    layers: int = Field(2, ge=1, description="how many layers train, counted from the top")
