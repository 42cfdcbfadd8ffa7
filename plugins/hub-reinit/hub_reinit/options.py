"""Options of reinit."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hub_core.options import Options

COMPUTED = ("class-means", "probe")
Place = Literal["head", "pooler", "top-layers"]
Method = Literal["normal", "xavier", "kaiming", "orthogonal", "lsuv", "class-means", "probe"]


class ReinitOptions(Options):
    """What starts anew, and how."""

    what: tuple[Place, ...] = Field(
        ("top-layers",), min_length=1, description="which parts of the model start anew"
    )
    layers: int = Field(1, ge=1, description="how many layers do, counted from the top")
    method: Method = Field(
        "normal", description="how they start; class-means and probe compute the head from data"
    )
    ridge: float = Field(
        1.0, ge=0, description="probe: penalty on the squared weights, the bias being free"
    )

    @model_validator(mode="after")
    def _computes_heads_only(self) -> Self:
        if self.method in COMPUTED and self.what != ("head",):
            raise ValueError(f'method = "{self.method}" computes the head: set what = ["head"]')
        return self
