"""What trains after a probe, or under a head of fixed orthogonal rows."""

import pytest
import quick
import tinymodels
import torch
import toydata
from safetensors.torch import load_file, save_file

import hub_core
from hub_basics.orthogonal import orthogonal_rows, simplex_rows
from hub_core import prefix
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.timeline import plan_run

HEAD = {"heads.main.output.weight", "heads.main.output.bias"}
LACKING = "encoder.layer.0.output.dense.bias"
ORTHOGONAL = {"name": "encoder-only", "head": "orthogonal"}


@pytest.fixture
def bert(tmp_path):
    return tinymodels.save("bert", tmp_path / "bert")


def recipe(*strategies, **settings):
    """A recipe that splits nothing off, so that no best epoch is restored."""
    values = toydata.recipe(strategies=strategies, **settings)
    values["tasks"]["main"] |= {"validation": 0, "test": 0}
    return values


def trained_in(values):
    """Return stage → names of what trains in it, and all names of the body."""
    built = quick.build(values).built
    plan = plan_run(built, values["training"]["epochs"], 4)
    names = {
        plan.moment(total).clock.stage: {built.names[parameter] for parameter in chosen}
        for total, chosen in plan.changes.items()
    }
    assert len(names) == len(plan.changes)
    return names, {name for name in built.names.values() if name.startswith("backbone.")}


def values_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def before_and_after(values, rows=None):
    before = values_of(quick.build(values).model)
    result = hub_core.train(values, rows or toydata.labelled(24))
    return before, values_of(result.predictor.model)


def moved(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


# -- lp-ft


@pytest.mark.parametrize("backbone", ["toy-encoder", "toy-bilstm"])
def test_lp_ft_trains_the_head_then_everything(backbone):
    names, body = trained_in(toydata.recipe(backbone=backbone, strategies=["lp-ft"]))
    assert names == {"probe": HEAD, "tune": HEAD | body}


@pytest.mark.parametrize("turn", [1, -1])
def test_lp_ft_with_lora_trains_head_and_adapters_in_the_second_stage(turn):
    names, body = trained_in(toydata.recipe(strategies=["lp-ft", "lora"][::turn]))
    adapters = {name for name in body if ".lora_" in name}
    assert len(adapters) == 2 * 12
    assert names == {"probe": HEAD, "tune": HEAD | adapters}


def test_a_fresh_weight_does_not_hide_the_encoder_from_lp_ft(bert):
    tensors = load_file(bert / "model.safetensors")
    del tensors[LACKING]
    save_file(tensors, bert / "model.safetensors", metadata={"format": "pt"})
    names, body = trained_in(tinymodels.recipe(bert, strategies=["lp-ft"]))
    assert names == {"probe": HEAD, "tune": HEAD | body}


def test_the_second_stage_starts_from_the_head_that_the_probe_gave():
    """Its rate is too small to move a bit, so what is left is one epoch of head-only."""
    before, both = before_and_after(recipe("lp-ft", epochs=2, learning_rate=1e-60))
    _, probe = before_and_after(recipe("head-only", epochs=1, learning_rate=1e-2))
    assert moved(before, both) == HEAD
    assert moved(probe, both) == set()


def test_the_second_stage_moves_head_and_encoder():
    _, probe = before_and_after(recipe("head-only", epochs=1, learning_rate=1e-2))
    _, both = before_and_after(recipe("lp-ft", epochs=2))
    matrices = {name for name, tensor in both.items() if tensor.ndim > 1}
    assert matrices <= moved(probe, both)


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        ({}, None, (1e-2, 0.3 * 1e-4)),
        ({}, 3e-3, (1e-2, 0.3 * 3e-3)),
        ({"probe_learning_rate": 0.5, "rate_factor": 0.1}, None, (0.5, 1e-5)),
    ],
)
def test_the_probe_has_its_own_rate_and_the_rest_a_share_of_the_usual_one(options, given, expected):
    rates, rate = {}, {} if given is None else {"learning_rate": given}

    def report(event, figures):
        if event == "step":
            rates.setdefault(figures["stage"], figures["rate"])

    values = recipe({"name": "lp-ft", **options}, epochs=2, warmup=0, **rate)
    hub_core.train(values, toydata.labelled(16), report=report)
    assert rates == {"probe": pytest.approx(expected[0]), "tune": pytest.approx(expected[1])}


@pytest.mark.parametrize("strategy", ["lp-ft", "encoder-only"])
def test_the_probe_s_features_are_computed_once(bert, monkeypatch, strategy):
    """Epochs of the probe add no calls of a layer, but for one check in each."""
    depths, fill = [], prefix.Prefix._fill
    monkeypatch.setattr(
        prefix.Prefix, "_fill", lambda self, depth: [depths.append(depth), fill(self, depth)][1]
    )
    calls = {}
    for epochs in (4, 8):
        count, stages = [], []
        handle = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, _, count=count, stages=stages: (
                count.append(1)
                if type(module).__name__ == "BertLayer" and "tune" not in stages
                else None
            )
        )

        def report(event, figures, stages=stages):
            if event == "epoch" and figures["epoch"] * 2 == figures["epochs"]:
                stages.append("tune")

        values = tinymodels.recipe(
            bert, strategies=[{"name": strategy, "probe_share": 0.5}], epochs=epochs
        )
        hub_core.train(values, toydata.labelled(60), report=report)
        handle.remove()
        assert stages == ["tune"]
        calls[epochs] = len(count)
    assert depths == [2, 2]
    assert calls[8] - calls[4] == 2 * 2  # two checks more, through two layers each


@pytest.mark.parametrize("turn", [1, -1])
def test_two_probes_are_refused(turn):
    first, second = ["lp-ft", "encoder-only"][::turn]
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[first, second]))
    assert caught.value.message == (
        f"these do not compose:\n  - strategy {second} needs 'free-stages' (no part has brought "
        f"its own training stages), but strategy {first} has taken it away"
    )


@pytest.mark.parametrize("factor", [0, 1.5])
def test_a_second_stage_that_stands_still_or_is_faster_is_refused(factor):
    with pytest.raises(OptionsError, match=f"rate_factor = {factor}: input should be "):
        quick.build(recipe({"name": "lp-ft", "rate_factor": factor}))


def test_lp_ft_with_lora_trains_and_is_loaded_again(bert, tmp_path):
    values = tinymodels.recipe(bert, strategies=["lora", "lp-ft"], epochs=2)
    result = hub_core.train(values, toydata.labelled(40), out=tmp_path / "out", prove=False)
    assert [entry["stage"] for entry in result.history] == ["probe", "tune"]
    assert "adapter_model.safetensors" in result.manifest.files
    texts = ["a very fine day", "sour"]
    assert hub_core.load(tmp_path / "out").predict(texts) == result.predictor.predict(texts)


# -- rows that nobody trains


@pytest.mark.parametrize(("rows", "width"), [(2, 8), (3, 3), (5, 32)])
def test_simplex_rows_are_the_vertices_of_the_published_frame(rows, width):
    found = simplex_rows(rows, width, torch.Generator().manual_seed(1))
    basis = orthogonal_rows(rows, width, torch.Generator().manual_seed(1)).T  # (width, C)
    middle = torch.eye(rows) - torch.ones(rows, rows) / rows
    torch.testing.assert_close(found.T, (rows / (rows - 1)) ** 0.5 * basis @ middle)
    cosines = torch.full((rows, rows), -1 / (rows - 1)).fill_diagonal_(1)
    torch.testing.assert_close(found @ found.T, cosines)


@pytest.mark.parametrize(("rows", "width"), [(1, 8), (4, 4), (5, 32)])
def test_orthogonal_rows_are_orthonormal(rows, width):
    found = orthogonal_rows(rows, width, torch.Generator().manual_seed(1))
    torch.testing.assert_close(found @ found.T, torch.eye(rows))


@pytest.mark.parametrize(
    ("head", "cosine"),
    [("classification", -1), ("multi-label", 0), ("regression", None)],
)
def test_the_head_is_a_simplex_for_one_label_and_orthogonal_otherwise(head, cosine):
    values = recipe(ORTHOGONAL | {"scale": 3}, head=head, epochs=1)
    _, after = before_and_after(values, toydata.DATA[head](24))
    gram = after["heads.main.output.weight"] @ after["heads.main.output.weight"].T / 9
    expected = torch.eye(len(gram)) if cosine is None else torch.full_like(gram, cosine)
    torch.testing.assert_close(gram, expected.fill_diagonal_(1))
    assert not after["heads.main.output.bias"].any()


def test_the_encoder_trains_under_the_orthogonal_head_in_one_stage():
    names, body = trained_in(toydata.recipe(strategies=[ORTHOGONAL]))
    assert names == {"train": body}


@pytest.mark.parametrize("turn", [1, -1])
def test_only_adapters_train_under_the_orthogonal_head_with_lora(turn):
    names, body = trained_in(toydata.recipe(strategies=[ORTHOGONAL, "lora"][::turn]))
    assert names == {"train": {name for name in body if ".lora_" in name}}


def test_every_matrix_of_the_encoder_moves_under_the_orthogonal_head():
    before, after = before_and_after(recipe(ORTHOGONAL))
    matrices = {name for name, tensor in before.items() if tensor.ndim > 1}
    assert matrices <= moved(before, after) | HEAD


def test_the_seed_decides_where_the_orthogonal_rows_point():
    weights = []
    for seed in (5, 5, 6):
        _, after = before_and_after(recipe(ORTHOGONAL, epochs=1, seed=seed))
        weights.append(after["heads.main.output.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2])


def test_an_orthogonal_head_stays_when_training_goes_on_and_replaces_a_trained_one(tmp_path):
    rows = toydata.labelled(24)
    heads = {}
    for name, strategy in (("fixed", ORTHOGONAL), ("probe", "encoder-only")):
        hub_core.train(recipe(strategy), rows, out=tmp_path / name, prove=False)
        changed = {"strategies": [ORTHOGONAL], "training": {"seed": 8, "epochs": 1}}
        result = hub_core.train(changed, rows, start=tmp_path / name)
        first = load_file(tmp_path / name / "head.main.safetensors")
        now = result.predictor.model.head("main").output.weight
        heads[name] = (first["heads.main.output.weight"], now)
    assert torch.equal(*heads["fixed"])
    gram = heads["probe"][1] @ heads["probe"][1].T
    torch.testing.assert_close(gram, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))


def test_more_outputs_than_the_vector_has_numbers_are_refused():
    values = toydata.recipe(backbone={"name": "toy-encoder", "width": 8}, strategies=[ORTHOGONAL])
    with pytest.raises(IncompatibleError) as caught:
        quick.build(values, labels=[f"label {number}" for number in range(9)])
    assert caught.value.message == (
        "encoder-only: the head of task main has 9 outputs over 8 numbers, and no more rows than "
        "that can be orthogonal"
    )
    assert caught.value.hint == 'use head = "probe"'


def test_a_head_that_ends_in_no_linear_layer_is_refused_for_orthogonal_rows_only():
    quick.build(toydata.recipe(head="toy-tags", strategies=["encoder-only"]))
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(head="toy-tags", strategies=[ORTHOGONAL]))
    assert caught.value.message == (
        "these do not compose:\n  - strategy encoder-only needs 'linear-output' (the head ends in "
        "one linear layer over one vector per example), but nothing here gives it"
    )


def test_nothing_that_trains_the_head_can_follow_an_orthogonal_one():
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[ORTHOGONAL, "lp-ft"]))
    assert caught.value.message == (
        "these do not compose:\n  - strategy lp-ft needs 'head-weights' (the head has weights of "
        "its own to train), but strategy encoder-only has taken it away"
    )
