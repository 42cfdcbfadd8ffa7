"""Options of training on several tasks, and of fusion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hub_core.options import Options

Share = Annotated[float, Field(ge=0, le=1e6)]


class MultiTaskOptions(Options):
    """Which task comes next, what it weighs, and what its gradients may do to the others'."""

    sampling: Literal["proportional", "square-root", "annealed", "explicit"] = Field(
        "annealed", description="how often a task of N examples comes: as N, as its root, or shares"
    )
    shares: dict[str, Share] = Field({}, description="with explicit sampling: each task's share")
    weighting: Literal["equal", "uncertainty", "dwa"] = Field(
        "equal", description="what a task's loss weighs"
    )
    uncertainty_rate: float = Field(
        10, gt=0, le=1000, description="factor on the learning rate of the uncertainties"
    )
    temperature: float = Field(2, gt=0, description="of dwa: larger makes weights more equal")
    surgery: Literal["none", "pcgrad"] = Field(
        "none", description="what is done about gradients of tasks that conflict"
    )
    together: int = Field(
        0, ge=0, description="tasks in a step with pcgrad, drawn by their shares; 0: all"
    )
    attention: bool = Field(False, description="whether each task attends to shared features")
    reduction: int = Field(4, ge=1, description="of attention: width of the backbone over its own")

    @model_validator(mode="after")
    def _shares_are_for_explicit_sampling(self) -> MultiTaskOptions:
        if self.sampling != "explicit" and self.shares:
            raise ValueError('shares belong to sampling = "explicit"')
        if self.sampling == "explicit" and not sum(self.shares.values()):
            raise ValueError("with explicit sampling, shares must add up to more than 0")
        if self.together == 1:
            raise ValueError("together must be 0 for all tasks, or 2 or more")
        if self.together and self.surgery == "none":
            raise ValueError('together belongs to surgery = "pcgrad"')
        return self


class FusionOptions(Options):
    """Which adapters, and how attention over them looks."""

    adapters: list[str] = Field(
        [], description="artifacts to fuse: folders, or owner/name on the Hub"
    )
    width: int = Field(
        32, ge=0, description="of queries and keys, and rank of values; 0: as wide as the layer"
    )
    regularization: float = Field(
        0.01, ge=0, description="weight of the squared distance of values from the identity"
    )
    largest_rank: int = Field(
        64, ge=1, description="largest rank of an adapter's change that is kept"
    )
