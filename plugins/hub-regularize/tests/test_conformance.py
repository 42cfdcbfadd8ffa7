"""The regularizing strategies keep what every strategy keeps."""

from typing import ClassVar

from hub_core.testing import StrategyTests


class TestSmart(StrategyTests):
    method = "hub-regularize:smart"
    cases = ({}, {"steps": 2, "proximal": 1.0})


class TestRDrop(StrategyTests):
    method = "hub-regularize:r-drop"


class TestAverage(StrategyTests):
    method = "hub-regularize:swa"
    cases = (
        {},
        {"kind": "ema", "decay": 0.9},
        {"every": 3, "start": 0.2, "schedule": "constant-after-start"},
    )


class TestWiseFt(StrategyTests):
    method = "hub-regularize:wise-ft"


class TestSetFit(StrategyTests):
    method = "hub-regularize:setfit"
    cases = ({"iterations": 2},)
    training: ClassVar = {"learning_rate": 3e-3}
