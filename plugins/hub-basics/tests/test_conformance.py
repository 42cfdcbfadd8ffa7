"""The basic strategies keep what every strategy keeps."""

from hub_core.testing import StrategyTests


class TestFull(StrategyTests):
    method = "hub-basics:full"


class TestHeadOnly(StrategyTests):
    method = "hub-basics:head-only"


class TestEncoderOnly(StrategyTests):
    method = "hub-basics:encoder-only"
    cases = ({}, {"probe_share": 0.6, "probe_learning_rate": 3e-2})


class TestTopLayers(StrategyTests):
    method = "hub-basics:top-layers"
    cases = ({}, {"layers": 1})
