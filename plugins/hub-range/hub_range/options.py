"""Options of dynamic-range and soft-threshold."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hub_core.options import Options

LARGEST_FACTOR = 100.0
"""What a learned factor is kept at or below, as in CLIP (Radford et al., 2021)."""
Positive = Annotated[float, Field(gt=0)]


class DynamicRangeOptions(Options):
    """In which range the scores may be, and how it changes."""

    variant: Literal["bounded", "scheduled", "learned"] = Field(
        "bounded", description="a bound that grows, a factor that grows by plan, or one that learns"
    )
    start: Literal["auto"] | Positive = Field(
        "auto", description="first bound or factor; auto: max(2, 2 log labels), 0.25 or 1"
    )
    growth: float = Field(1.5, gt=1, le=10, description="bounded: by what the bound is multiplied")
    largest: float = Field(50.0, gt=0, description="bounded: the bound grows no further")
    tolerance: float = Field(
        1e-3, ge=0, description="bounded: what the validation metric must gain to count as better"
    )
    patience: int = Field(
        2, ge=1, description="bounded: growths without a gain, after which the best bound stays"
    )
    end: float = Field(1.0, gt=0, description="scheduled: the factor at the end")
    calibrate: bool = Field(
        False, description="fit a temperature on the validation data after training"
    )

    @model_validator(mode="after")
    def _grows(self) -> Self:
        limits = {
            "bounded": (self.largest, "largest = {:g}"),
            "scheduled": (self.end, "end = {:g}"),
            "learned": (LARGEST_FACTOR, "{:g}, the most that a learned factor can become"),
        }
        limit, text = limits[self.variant]
        if self.start != "auto" and self.start > limit:
            raise ValueError(f"start = {self.start:g} is more than {text.format(limit)}")
        return self


class SoftThresholdOptions(Options):
    """What is thresholded."""

    where: tuple[Literal["vector", "up"], ...] = Field(
        ("vector",), description="the vector under the head's output, up layers of the backbone"
    )
    start: float = Field(
        0.05, gt=0, lt=1, description="first threshold, as a share of a channel's mean |x|"
    )
    proximal: bool = Field(False, description="also shrink weights to exact zeros after each step")
    target: Literal["head", "chosen"] = Field(
        "head", description="proximal: matrices of the head, or all matrices that train"
    )
    strength: float = Field(
        0.1, gt=0, le=1, description="proximal: the rate times this is taken off every |w|"
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.where and not self.proximal:
            raise ValueError("where is empty and proximal is false: nothing would be thresholded")
        return self
