"""Options of quantization."""

from hub_core.options import Options
from pydantic import Field


class Int8Options(Options):
    """How finely weights are scaled."""

    per_channel: bool = Field(
        True, description="one scale for each output of a layer, instead of one for the layer"
    )
