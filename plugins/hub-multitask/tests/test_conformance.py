"""Both strategies keep what every strategy keeps."""

from hub_core import train
from hub_core.declare import Column
from hub_core.testing import StrategyTests
from hub_core.testing.examples import rows_for


class TestMultiTask(StrategyTests):
    method = "hub-multitask:multi-task"
    cases = (
        {},
        {"weighting": "uncertainty", "surgery": "pcgrad"},
        {"sampling": "proportional", "weighting": "dwa", "attention": True},
    )


COLUMNS = (
    Column("text", "text", ("text",)),
    Column("label", "label", ("label",), target=True),
)


def two_adapters(folder):
    """Return options with two adapters of the toy backbone, trained here."""
    places = []
    for seed in (1, 2):
        recipe = {
            "backbone": "hub-testing:toy-stack",
            "tasks": {"main": {"head": "hub-testing:toy-label"}},
            "strategies": ["hub-testing:toy-beside"],
            "training": {"epochs": 1, "threads": 1, "seed": seed, "precision": "fp32"},
        }
        places.append(str(folder / f"adapter-{seed}"))
        train(recipe, rows_for(COLUMNS, 32, seed), out=places[-1], prove=False)
    return {"adapters": places}


class TestFusion(StrategyTests):
    method = "hub-multitask:fusion"
    cases = (two_adapters,)
