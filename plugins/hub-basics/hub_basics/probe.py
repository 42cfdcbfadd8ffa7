"""A head that is trained on frozen features before anything of the backbone."""

from __future__ import annotations

from hub_basics.options import ProbeOptions
from hub_core.declare import Stage
from hub_core.model import TaskModel
from hub_core.part import Chosen

PROBE = "probe"


def probed_stages(options: ProbeOptions, then: str) -> tuple[Stage, Stage]:
    """Return the probe's stage with its own rate, then a stage with the recipe's.

    Args:
        options: Share and rate of the probe.
        then: The second stage's name.
    """
    share = options.probe_share
    return Stage(PROBE, share, options.probe_learning_rate), Stage(then, 1 - share)


def opened(model: TaskModel, chosen: Chosen) -> Chosen:
    """Return what is chosen outside of the heads, or all of the body if no part has opened any.

    What the checkpoint lacked trains anyway, so that alone opens nothing.
    """
    body = chosen - model.head_parameters()
    return body if body - model.backbone.fresh else model.body_parameters()
