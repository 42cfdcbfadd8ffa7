"""Options of heads over a pooled text."""

from typing import Literal

from pydantic import Field

from hub_core.options import Options


class PooledOptions(Options):
    """How hidden states become one vector, and what happens to it."""

    pooling: Literal["auto", "first", "mean", "max", "last", "pooler"] = Field(
        "auto",
        description="which hidden states count; auto: what suits the backbone; pooler: what its "
        "own pooling layer makes of them",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the vector dropped in training")


class ClassificationOptions(PooledOptions):
    """Also how much each label counts."""

    class_weights: Literal["none", "balanced"] = Field(
        "none", description="how much a label's loss counts; balanced: rare labels count more"
    )


class MultiLabelOptions(PooledOptions):
    """Also how labels are written, and from where on one is predicted."""

    threshold: float = Field(
        0.5, gt=0, lt=1, description="probability from which on a label is predicted"
    )
    separator: str = Field(
        "|", min_length=1, description="what stands between several labels in one text"
    )
