"""Options of the basic strategies."""

from typing import Annotated, Literal

from pydantic import Field

from hub_core.options import Options

Group = Literal["norms", "embeddings", "pooler", "attention", "feed-forward", "surgical"]


class ProbeOptions(Options):
    """How the head is trained before anything of the backbone."""

    probe_share: float = Field(
        0.34, gt=0, lt=1, description="share of the epochs in which only the head trains"
    )
    probe_learning_rate: float = Field(1e-2, gt=0, description="rate of the head in those epochs")


class EncoderOnlyOptions(ProbeOptions):
    """Which head the encoder trains under."""

    head: Literal["probe", "orthogonal"] = Field(
        "probe", description="the head to train under: a trained probe, or fixed orthogonal rows"
    )
    scale: float = Field(1.0, gt=0, description="length of each row of the orthogonal head")


class LpFtOptions(ProbeOptions):
    """How much more slowly everything trains after the probe."""

    rate_factor: float = Field(
        0.3, gt=0, le=1, description="factor on the usual rate when everything trains"
    )


class TopLayersOptions(Options):
    """How much of the backbone trains."""

    layers: int = Field(2, ge=1, description="how many layers train, counted from the top")


class OtherLayersOptions(Options):
    """Which subsets of the backbone train; they add up."""

    groups: tuple[Group, ...] = Field(
        (),
        description="named subsets that train; surgical: chosen by relative gradients; "
        "empty, and no layers either: norms",
    )
    layers: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="numbers of layers that train, 0 being the lowest"
    )
    blocks: int = Field(1, ge=1, description="surgical: how many neighbouring blocks to choose")
    batches: int = Field(
        8, ge=1, description="surgical: how many training batches the choice looks at"
    )


class BitFitOptions(Options):
    """Which biases train."""

    which: Literal["all", "query-and-up"] = Field(
        "all", description="all biases, or those of the query and the up-projection"
    )
