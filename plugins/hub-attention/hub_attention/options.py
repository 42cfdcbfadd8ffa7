"""Options of a head over positions and layers."""

from typing import Literal, Self

from pydantic import Field, model_validator

from hub_core.options import Options

OWN = {
    "self-attention": {"hops", "orthogonality", "width"},
    "additive": {"width"},
    "multi-head": {"queries", "heads", "orthogonality"},
    "concat": {"end"},
    "gem": {"power"},
}
"""Pooling to the options that it has; all others are every pooling's."""


class AttentionOptions(Options):
    """How hidden states become one vector, and what happens to it."""

    pooling: Literal["self-attention", "additive", "multi-head", "concat", "gem"] = Field(
        "self-attention", description="how the positions become one vector"
    )
    hops: int = Field(
        1, ge=1, le=64, description="self-attention: how many distributions over the words"
    )
    orthogonality: float = Field(
        0, ge=0, description="self-attention, multi-head: how much the overlap of hops costs"
    )
    width: int = Field(
        128, ge=1, description="self-attention, additive: units in the layer that scores a word"
    )
    queries: int = Field(1, ge=1, le=64, description="multi-head: how many learned queries")
    heads: int = Field(4, ge=1, description="multi-head: heads that share the hidden width")
    end: Literal["first", "last"] = Field(
        "first", description="concat: which position stands beside maximum and mean"
    )
    power: float = Field(3, gt=1, le=100, description="gem: the exponent that training starts from")
    mix: bool = Field(False, description="pool a learned mixture of all layers")
    mix_norm: bool = Field(False, description="mix: scale every layer's vectors alike first")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the vector dropped in training")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="how much a label's loss counts; balanced: rare labels count more"
    )

    @model_validator(mode="after")
    def _refuse_idle(self) -> Self:
        """Refuse an option that would change nothing: it is meant for another pooling."""
        for name in sorted(set().union(*OWN.values()) - OWN[self.pooling]):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} changes nothing with the pooling {self.pooling}")
        if self.mix_norm and not self.mix:
            raise ValueError("mix_norm changes nothing without mix")
        return self
