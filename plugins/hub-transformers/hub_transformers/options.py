"""Options of the transformers backbone."""

from typing import Literal

from pydantic import Field

from hub_core.options import Options


class TransformersOptions(Options):
    """Which model, and how its inputs are read."""

    model: str = Field(min_length=1, description="Hub id (owner/name) or folder of the model")
    revision: str = Field("", description="branch, tag or commit on the Hub; default: its main")
    max_length: int = Field(0, ge=0, description="longest input in tokens; 0: the model's own")
    pooling: Literal["auto", "first", "mean", "max", "last", "pooler"] = Field(
        "auto",
        description="how heads pool by default; auto: as the model was trained, else mean; "
        "pooler: by the layer that comes with the weights, which is loaded then",
    )
