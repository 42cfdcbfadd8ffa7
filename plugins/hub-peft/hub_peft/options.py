"""Options of LoRA, under PEFT's meanings."""

from typing import Literal

from pydantic import Field

from hub_core.options import Options

Role = Literal["query", "key", "value", "qkv", "attention-out", "up", "gate", "down", "other"]


class LoraOptions(Options):
    """Rank, scale and place of the updates."""

    r: int = Field(8, ge=1, description="rank of every update")
    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of an update's input dropped")
    targets: tuple[Role, ...] = Field((), description="roles to adapt, such as query; empty: all")
    rslora: bool = Field(False, description="scale by alpha / sqrt(r) instead (Kalajdzievski 2023)")
    dora: bool = Field(False, description="learn magnitudes beside directions (Liu et al. 2024)")
    init: Literal["default", "gaussian"] = Field("default", description="how the updates begin")
