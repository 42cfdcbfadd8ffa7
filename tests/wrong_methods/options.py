"""Options that explain too little or refuse too little."""

from pydantic import ConfigDict, Field, field_serializer

from hub_core.options import Options


class Undescribed(Options):
    name: str = ""


class Unbounded(Options):
    rank: int = Field(8, description="rank")


class Open(Options):
    model_config = ConfigDict(extra="allow", frozen=True)


class Loose(Options):
    model_config = ConfigDict(extra="forbid", frozen=False)


class BadDefault(Options):
    rank: int = Field(0, ge=1, description="rank")


class Demanding(Options):
    rank: int = Field(ge=1, description="rank")


class OneWay(Options):
    share: float = Field(0.25, ge=0, le=1, description="share")

    @field_serializer("share")
    def _percent(self, value):
        return value * 2
