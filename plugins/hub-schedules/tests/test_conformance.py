"""Turns, projected gradients, masks and decay keep what every strategy keeps."""

from hub_core.testing import StrategyTests


class TestGradualUnfreezing(StrategyTests):
    method = "hub-schedules:gradual-unfreezing"
    cases = ({}, {"every": 0.25, "layers_at_once": 2, "decay": 2.6, "schedule": "slanted"})


class TestLisa(StrategyTests):
    method = "hub-schedules:lisa"
    cases = ({}, {"period": 3})


class TestBlockCoordinate(StrategyTests):
    method = "hub-schedules:block-coordinate"
    cases = ({}, {"steps": 2, "order": "descending", "embeddings": True})


class TestGalore(StrategyTests):
    """With rank 1 the head's matrix is projected too, which is all that trains here."""

    method = "hub-schedules:galore"
    cases = ({}, {"rank": 1, "every": 3, "scale": 4})


class TestChildTuning(StrategyTests):
    method = "hub-schedules:child-tuning"
    cases = ({}, {"variant": "free"})


class TestFishMask(StrategyTests):
    method = "hub-schedules:fish-mask"
    cases = ({}, {"density": 0.02, "samples": 20, "batch_size": 8})


class TestMixout(StrategyTests):
    method = "hub-schedules:mixout"
    cases = ({}, {"p": 0.5})


class TestPretrainedDecay(StrategyTests):
    method = "hub-schedules:pretrained-decay"
    cases = ({}, {"strength": 1.0})
