"""The strategies of this plugin keep what every strategy keeps."""

from hub_core.testing import StrategyTests


class TestDynamicRange(StrategyTests):
    method = "hub-range:dynamic-range"
    cases = ({}, {"variant": "scheduled"})


class TestSoftThreshold(StrategyTests):
    method = "hub-range:soft-threshold"
    cases = ({}, {"where": ["vector", "up"], "proximal": True, "target": "chosen"})
