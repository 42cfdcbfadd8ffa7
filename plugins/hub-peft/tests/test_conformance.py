"""LoRA keeps what every strategy keeps, in all its forms."""

from hub_core.testing import StrategyTests


class TestLora(StrategyTests):
    method = "hub-peft:lora"
    cases = (
        {},
        {"dora": True},
        {"dropout": 0.2, "init": "gaussian"},
        {"r": 2, "targets": ["query", "value"], "rslora": True},
    )
