"""What this plugin provides."""

from collections.abc import Iterator
from typing import Any

from hub_core.spec import Method, hookimpl

OPENED = frozenset({"frozen-body"})
TURNS = frozenset({"open-body", "layers", "free-stages"})
"""What strategies need that say which layers train when: training has no stages besides."""


def _needs_of_unfreezing(options: Any) -> frozenset[str]:
    return TURNS | ({"free-schedule"} if options.schedule == "slanted" else frozenset())


def _taken_by_unfreezing(options: Any) -> frozenset[str]:
    taken = {"free-stages", "free-schedule"} & _needs_of_unfreezing(options)
    return OPENED | taken


ON_PRETRAINED = frozenset({"open-body", "free-stages"})
"""What strategies need that open the backbone if no other does: before what says when it trains."""


def _needs_of_child_tuning(options: Any) -> frozenset[str]:
    return ON_PRETRAINED | ({"layers"} if options.variant == "driven" else frozenset())


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
    yield Method(
        name="gradual-unfreezing",
        summary="Layers begin to train one after the other, from the head down",
        factory="hub_schedules.unfreezing:GradualUnfreezing",
        options="hub_schedules.options:GradualUnfreezingOptions",
        requires=_needs_of_unfreezing,
        removes=_taken_by_unfreezing,
        paper="https://arxiv.org/abs/1801.06146",
    )
    yield Method(
        name="lisa",
        summary="A few layers, drawn anew now and then, train at a time",
        factory="hub_schedules.lisa:Lisa",
        options="hub_schedules.options:LisaOptions",
        requires=TURNS,
        removes=OPENED | {"free-stages"},
        paper="https://arxiv.org/abs/2403.17919",
    )
    yield Method(
        name="block-coordinate",
        summary="Layers take turns in training, one block at a time (BAdam)",
        factory="hub_schedules.coordinate:BlockCoordinate",
        options="hub_schedules.options:BlockCoordinateOptions",
        requires=TURNS,
        removes=OPENED | {"free-stages"},
        paper="https://arxiv.org/abs/2404.02827",
    )
    yield Method(
        name="galore",
        summary="AdamW on gradients that are projected to a low rank",
        factory="hub_schedules.galore:Galore",
        options="hub_schedules.options:GaloreOptions",
        requires=frozenset({"free-optimizer"}),
        removes=frozenset({"free-optimizer"}),
        paper="https://arxiv.org/abs/2403.03507",
    )
    yield Method(
        name="child-tuning",
        summary="Only a child network of the backbone's weights learns",
        factory="hub_schedules.masks:ChildTuning",
        options="hub_schedules.mask_options:ChildTuningOptions",
        requires=_needs_of_child_tuning,
        removes=OPENED,
        paper="https://arxiv.org/abs/2109.05687",
    )
    yield Method(
        name="fish-mask",
        summary="The few entries of matrices with the most information train",
        factory="hub_schedules.sparse:FishMask",
        options="hub_schedules.mask_options:FishMaskOptions",
        requires=frozenset({"open-body", "linears", "float-weights"}),
        removes=OPENED,
        paper="https://arxiv.org/abs/2111.09839",
    )
    yield Method(
        name="mixout",
        summary="Weights are at random the pre-trained ones while they train",
        factory="hub_schedules.mixout:Mixout",
        options="hub_schedules.mask_options:MixoutOptions",
        requires=ON_PRETRAINED | {"linears", "float-weights"},
        removes=OPENED,
        paper="https://arxiv.org/abs/1909.11299",
    )
    yield Method(
        name="pretrained-decay",
        summary="Weights decay towards where they began instead of zero",
        factory="hub_schedules.decay:PretrainedDecay",
        options="hub_schedules.mask_options:PretrainedDecayOptions",
        requires=ON_PRETRAINED,
        removes=OPENED,
        paper="https://arxiv.org/abs/1802.01483",
    )
