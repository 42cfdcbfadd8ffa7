"""Options of the toys."""

from pydantic import Field

from hub_core.options import Options


class ToyBackboneOptions(Options):
    seed: int = Field(0, ge=0, description="which random weights are the pre-trained ones")
    width: int = Field(32, ge=8, description="width of the hidden states")


class ToyDistillOptions(Options):
    teacher: str = Field("", description="folder of the teacher's artifact")
