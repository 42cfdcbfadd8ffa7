"""Surgical fine-tuning chooses the neighbouring blocks with the largest relative gradients."""

import math

import pytest
import quick
import tinymodels
import torch
import toydata
from torch.nn import functional as F

import hub_core
from hub_basics.surgical import best_neighbours, relative
from hub_core.errors import IncompatibleError
from hub_core.jobs import calibration

HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
SQUARES = {"a": (2.0, 4.0), "b": (9.0, 9.0), "c": (4.0, 1.0), "d": (0.5, 4.0)}


def surgical(**options):
    return {"name": "other-layers", "groups": ["surgical"], **options}


def observed(values, rows):
    """Return the built model after its part has chosen, and the batches that it looked at."""
    run = quick.build(values)
    head = run.model.head("main")
    own = {"main": head.features(rows, run.backbone)}
    for ctx in run.built.contexts:
        ctx.batches = lambda count: calibration(run.built, own, count)
    run.built.observe()
    return run, calibration(run.built, own, values["strategies"][0]["batches"])


def blocks_of(model):
    layers = {f"layer {n}": layer for n, layer in enumerate(model.layers())}
    return {"embeddings": model.backbone.embed, **layers}


def test_relative_gradients_are_those_of_plain_torch():
    values = toydata.recipe(strategies=[surgical(batches=2)])
    run, batches = observed(values, toydata.labelled(64))
    [part] = run.built.parts
    assert len(batches) == 2
    model = run.model.eval()
    expected = dict.fromkeys(blocks_of(model), 0.0)
    for batch in batches:
        model.zero_grad()
        F.cross_entropy(model(batch).scores, batch.targets).backward()
        for name, block in blocks_of(model).items():
            expected[name] += sum(float((p.grad**2).sum()) for p in block.parameters()) / 2
    for name, block in blocks_of(model).items():
        whole = sum(float((p.detach() ** 2).sum()) for p in block.parameters())
        expected[name] = math.sqrt(expected[name] / whole)
    figures = part.report(model)
    best = max(expected, key=expected.get)
    assert figures == {
        **{f"relative_gradient_{n.replace(' ', '_')}": pytest.approx(x, rel=1e-4)
           for n, x in expected.items()},
        f"chosen_{best.replace(' ', '_')}": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("count", "chosen"), [(1, ["c"]), (2, ["b", "c"]), (3, ["a", "b", "c"]), (4, [*"abcd"])]
)
def test_neighbours_are_judged_together(count, chosen):
    assert relative(SQUARES, "b", "c") == math.sqrt(13 / 10)
    assert relative({"zeros": (0.0, 0.0)}, "zeros") == 0
    assert best_neighbours(SQUARES, count) == chosen


def test_a_block_that_the_data_ask_to_change_is_found():
    """Values near zero with gradients as large as before: that layer must change the most."""
    values = toydata.recipe(strategies=[surgical(batches=2)])
    for number in (0, 1):
        run = quick.build(values)
        with torch.no_grad():
            for parameter in run.model.layers()[1 - number].parameters():
                if parameter.ndim > 1:
                    parameter.mul_(30)
        own = {"main": run.model.head("main").features(toydata.labelled(32), run.backbone)}
        for ctx in run.built.contexts:
            ctx.batches = lambda count, run=run, own=own: calibration(run.built, own, count)
        run.built.observe()
        assert run.built.parts[0].state_dict()["chosen"] == [f"layer {number}"]


def test_only_the_chosen_block_and_the_head_train_with_regression(tmp_path):
    values = toydata.recipe(head="regression", strategies=[surgical(blocks=1)])
    values["tasks"]["main"] |= {"validation": 0, "test": 0}
    before = quick.build(values).model.state_dict()
    result = hub_core.train(values, toydata.scored(48), out=tmp_path / "out", prove=False)
    after = result.predictor.model.state_dict()
    moved = {n for n in before if not torch.equal(before[n], after[n])} - {"heads.main.scale"}
    [key] = [n for n in result.manifest.report if n.startswith("other-layers.chosen_")]
    chosen = key.removeprefix("other-layers.chosen_")
    number = chosen.removeprefix("layer_")
    start = "backbone.embed." if chosen == "embeddings" else f"backbone.body.layer.{number}."
    assert moved - HEAD
    assert all(name.startswith(start) for name in moved - HEAD)
    again = hub_core.load(tmp_path / "out")
    assert again.predict(["a fine day"]) == result.predictor.predict(["a fine day"])


def test_the_pooling_layer_is_a_block_where_it_is_loaded(tmp_path):
    folder = tinymodels.save("bert", tmp_path / "bert")
    values = tinymodels.recipe(
        folder, options={"pooling": "pooler"}, strategies=[surgical(blocks=4)], epochs=1
    )
    result = hub_core.train(values, toydata.labelled(24), out=tmp_path / "out", prove=False)
    found = {n for n in result.manifest.report if n.startswith("other-layers.chosen_")}
    assert found == {
        f"other-layers.chosen_{name}" for name in ("embeddings", "layer_0", "layer_1", "pooler")
    }


def test_more_blocks_than_there_are_are_refused():
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[surgical(blocks=4)]))
    assert caught.value.message == (
        "other-layers: blocks = 4, but the backbone has 3: embeddings, layer 0, layer 1"
    )
    assert caught.value.hint == "give a number from 1 to 3"
