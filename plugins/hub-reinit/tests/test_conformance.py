"""Starting anew keeps what every strategy keeps."""

from typing import ClassVar

from hub_core.testing import StrategyTests


class TestReinit(StrategyTests):
    method = "hub-reinit:reinit"
    training: ClassVar = {"epochs": 12}
    cases = (
        {},
        {"method": "lsuv", "what": ["head", "top-layers"]},
        {"method": "probe", "what": ["head"]},
    )
