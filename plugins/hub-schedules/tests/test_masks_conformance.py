"""Masks, mixed weights and decay towards pre-trained weights keep what every strategy keeps."""

from hub_core.testing import StrategyTests


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
    cases = ({"strength": 1.0},)
