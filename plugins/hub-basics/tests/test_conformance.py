"""The basic strategies keep what every strategy keeps."""

from typing import ClassVar

from hub_core.testing import StrategyTests


class TestFull(StrategyTests):
    method = "hub-basics:full"


class TestHeadOnly(StrategyTests):
    method = "hub-basics:head-only"


class TestEncoderOnly(StrategyTests):
    method = "hub-basics:encoder-only"
    cases = ({}, {"probe_share": 0.6, "probe_learning_rate": 3e-2})


class TestEncoderOnlyOrthogonal(StrategyTests):
    method = "hub-basics:encoder-only"
    cases = ({"head": "orthogonal"},)
    training: ClassVar = {"learning_rate": 3e-3}


class TestLpFt(StrategyTests):
    method = "hub-basics:lp-ft"
    cases = ({}, {"probe_share": 0.6, "rate_factor": 1})


class TestTopLayers(StrategyTests):
    method = "hub-basics:top-layers"
    cases = ({}, {"layers": 1})


class TestOtherLayers(StrategyTests):
    method = "hub-basics:other-layers"
    cases: ClassVar = {
        "norms": {},
        "surgical": {"groups": ["surgical"], "batches": 2},
        "several": {"groups": ["embeddings", "attention", "feed-forward"], "layers": [1]},
    }


class TestBitFit(StrategyTests):
    method = "hub-basics:bitfit"
    cases = ({}, {"which": "query-and-up"})


class TestPooling(StrategyTests):
    method = "hub-basics:pooling"
    backbone = "toy-pooled"
