"""Options of quantization."""

from pydantic import Field

from hub_core.options import Options


class Int8Options(Options):
    """How finely weights are scaled."""

    per_channel: bool = Field(
        True, description="one scale for each output of a layer, instead of one for the layer"
    )
