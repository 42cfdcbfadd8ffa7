"""Options of the regularizing strategies."""

from typing import Literal

from pydantic import Field

from hub_core.options import Options


class SmartOptions(Options):
    """How far the input is moved, and how much a change of the prediction costs."""

    weight: float = Field(1.0, ge=0, description="weight of the smoothness term; 0: without it")
    noise: float = Field(1e-5, ge=0, description="standard deviation of where the ascent starts")
    steps: int = Field(1, ge=1, description="steps of ascent, one more pass through the model each")
    step_size: float = Field(
        1e-3, gt=0, description="length of a step: the largest change in a token's vector"
    )
    radius: float = Field(
        1e-3, gt=0, description="largest change of any number in a token's vector"
    )
    proximal: float = Field(
        0.0, ge=0, description="weight of staying near the averaged model's predictions; 0: without"
    )
    decay: float = Field(
        0.99, ge=0, lt=1, description="share that the averaged model keeps at each step"
    )


class RDropOptions(Options):
    """How much two predictions of one text may differ."""

    weight: float = Field(
        1.0, ge=0, description="weight of the divergence between the two predictions"
    )


class AverageOptions(Options):
    """Which weights are averaged."""

    kind: Literal["swa", "ema"] = Field(
        "swa", description="swa: the mean of snapshots; ema: an exponential mean of all steps"
    )
    start: float = Field(
        0.5, ge=0, lt=1, description="swa: share of a stage's steps before the first snapshot"
    )
    every: int = Field(
        0, ge=0, description="swa: steps between snapshots; 0: one at the end of each epoch"
    )
    decay: float = Field(
        0.999, ge=0, lt=1, description="ema: share that the mean keeps at each step"
    )
    schedule: Literal["usual", "constant-after-start"] = Field(
        "usual", description="whether the learning rate stays where it is once snapshots are taken"
    )


class WiseFtOptions(Options):
    """Where between the pre-trained and the tuned weights."""

    alpha: float = Field(
        0.5, ge=0, le=1, description="share of the tuned weights; 0 is the pre-trained encoder"
    )


class SetFitOptions(Options):
    """How pairs are made of a few examples, and how the head is fitted."""

    iterations: int = Field(
        20, ge=1, description="times that each example comes in an epoch, always with new partners"
    )
    penalty: float = Field(
        1.0, gt=0, description="L2 penalty of the logistic regression, 1 / C of scikit-learn"
    )
    head_share: float = Field(
        0.25, gt=0, lt=1, description="share of the epochs in which the fitted head goes on"
    )
    head_learning_rate: float = Field(1e-3, gt=0, description="rate of the head in those epochs")
