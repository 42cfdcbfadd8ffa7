"""Soft thresholds: the formula and its gradients, where they start, exact zeros, what composes."""

import pytest
import quick
import tinymodels
import torch
import toydata
from safetensors.torch import load_file
from torch import nn

import hub_core
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.part import Context
from hub_range.options import SoftThresholdOptions
from hub_range.proximal import shrink, zeros_in
from hub_range.shrinkage import Threshold, soft_threshold
from hub_range.threshold import SoftThreshold

SPREAD = torch.linspace(-3, 3, 61, dtype=torch.double)
UP = {"name": "soft-threshold", "where": ["up"]}


def report_of(result):
    marked = "soft-threshold."
    return {name.removeprefix(marked): value for name, value in result.manifest.report.items()
            if name.startswith(marked)}  # fmt: skip


def trained(folder, values, rows=None):
    return hub_core.train(values, rows or toydata.labelled(32), out=folder, prove=False)


# -- the formula


@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.3])
def test_a_soft_threshold_is_the_nearest_point_under_an_l1_penalty(threshold):
    grid = torch.linspace(-4, 4, 8001, dtype=torch.double)
    costs = (grid - SPREAD[:, None]) ** 2 / 2 + threshold * grid.abs()
    found = soft_threshold(SPREAD, torch.tensor(threshold, dtype=torch.double))
    torch.testing.assert_close(found, grid[costs.argmin(1)], atol=6e-4, rtol=0)


def test_a_threshold_of_zero_changes_nothing():
    assert torch.equal(soft_threshold(SPREAD, torch.tensor(0.0)), SPREAD)


def test_gradients_are_1_beyond_the_threshold_and_its_own_the_sign_s_opposite():
    values = torch.tensor([-2.0, -0.3, 0.0, 0.3, 2.0], requires_grad=True)
    thresholds = torch.full((5,), 0.5, requires_grad=True)
    soft_threshold(values, thresholds).sum().backward()
    assert values.grad.tolist() == [1, 0, 0, 0, 1]
    assert thresholds.grad.tolist() == [1, 0, 0, 0, -1]


def test_thresholds_begin_where_they_are_told_to():
    threshold = Threshold(3)
    threshold.begin(torch.tensor([0.05, 2.0, 0.0]))
    found = nn.functional.softplus(threshold.raw.double())
    assert found.tolist() == pytest.approx([0.05, 2.0, 1e-4], rel=1e-4)


# -- where they start


def observed(options, **recipe):
    """Return part, model and the batches that it has observed."""
    built = quick.build(toydata.recipe(strategies=["full"], **recipe))
    part, model = SoftThreshold(SoftThresholdOptions(**options)), built.model
    head = model.head("main")
    rows = head.features(toydata.labelled(40, seed=2), model.backbone)
    batches = [head.collate(rows[:7], model.backbone), head.collate(rows[7:], model.backbone)]
    ctx = Context(tasks=tuple(built.tasks), batches=lambda n: batches[:n])
    part.prepare(model, ctx)
    model.eval()
    before = dict(model.named_modules())
    vectors = torch.cat([head.vector(model.encode(batch), batch) for batch in batches])
    part.observe(model, ctx)
    return part, before, vectors.detach(), batches


def test_thresholds_begin_at_a_twentieth_of_their_channel_s_mean():
    _, modules, vectors, _ = observed({})
    found = nn.functional.softplus(modules["heads.main.output.threshold"].raw)
    torch.testing.assert_close(found, 0.05 * vectors.abs().mean(0), rtol=1e-3, atol=2e-6)


def test_padding_does_not_count_where_thresholds_begin():
    _, modules, _, batches = observed({"where": ("up",), "start": 0.5})
    [place] = [m for name, m in modules.items() if name.endswith("layer.0.up.threshold")]
    layer, embed = modules["backbone.body.layer.0"], modules["backbone.embed"]
    seen = []
    up = layer.up.base_layer
    up.register_forward_hook(lambda *given: seen.append(given[2].detach()))
    for batch in batches:
        layer(embed(batch.inputs["ids"]), batch.inputs["mask"])
    real = [x[b.inputs["mask"].bool()] for x, b in zip(seen, batches, strict=True)]
    wanted = 0.5 * torch.cat(real).abs().mean(0)
    torch.testing.assert_close(
        nn.functional.softplus(place.raw), wanted.clamp_min(1e-4), rtol=1e-3, atol=2e-6
    )


# -- zeros


def test_a_proximal_step_is_the_soft_threshold_of_what_was_stepped():
    generator = torch.Generator().manual_seed(2)
    stepped, frozen, idle = (nn.Parameter(torch.randn(4, 5, generator=generator)) for _ in "abc")
    before = [p.detach().clone() for p in (stepped, frozen, idle)]
    stepped.grad = torch.ones(4, 5)
    shrink([stepped, idle], 0.3)
    assert torch.equal(stepped, soft_threshold(before[0], torch.tensor(0.3)))
    assert torch.equal(frozen, before[1])
    assert torch.equal(idle, before[2])
    assert zeros_in([stepped]) == (before[0].abs() <= 0.3).float().mean()


def test_weights_of_the_head_become_zero_exactly_and_are_counted(tmp_path):
    part = {"name": "soft-threshold", "where": [], "proximal": True, "strength": 0.3}
    values = toydata.recipe(strategies=["head-only", part], epochs=4)
    result = trained(tmp_path / "a", values)
    weight = load_file(tmp_path / "a" / "head.main.safetensors")["heads.main.output.weight"]
    share = float((weight == 0).float().mean())
    assert 0 < share < 1
    assert report_of(result) == {"weight_zeros": pytest.approx(share)}


def test_only_matrices_that_train_are_shrunk(tmp_path):
    part = {"name": "soft-threshold", "where": [], "proximal": True, "strength": 1,
            "target": "chosen"}  # fmt: skip
    values = toydata.recipe(strategies=["lora", part], learning_rate=1e-2)
    result = trained(tmp_path / "a", values)
    stored = {**load_file(tmp_path / "a" / "delta.safetensors"),
              **load_file(tmp_path / "a" / "head.main.safetensors")}  # fmt: skip
    matrices = [t for t in stored.values() if t.dim() > 1]
    zeros = sum(int((t == 0).sum()) for t in matrices) / sum(t.numel() for t in matrices)
    assert report_of(result)["weight_zeros"] == pytest.approx(zeros)
    assert zeros > 0


def test_reported_zeros_of_activations_are_those_of_the_served_model(tmp_path):
    part = {"name": "soft-threshold", "start": 0.6}
    values = toydata.recipe(strategies=["head-only", part])
    held = toydata.labelled(24, seed=6)
    data = {"train": toydata.labelled(32), "validation": held}
    result = hub_core.train(values, data, out=tmp_path / "a", prove=False)
    predictor, seen = hub_core.load(tmp_path / "a"), []
    threshold = predictor.model.get_submodule("heads.main.output").threshold
    threshold.register_forward_hook(lambda *given: seen.append(given[2]))
    predictor.scores(held)
    zeros = torch.cat(seen) == 0
    assert 0 < float(zeros.float().mean()) < 1
    assert report_of(result)["activation_zeros"] == pytest.approx(float(zeros.float().mean()))


# -- in company


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tinymodels.save("bert", tmp_path_factory.mktemp("models") / "bert")


@pytest.mark.parametrize(
    ("strategies", "compressors"),
    [
        (["bitfit", "soft-threshold"], []),
        ([UP, "bitfit"], []),
        (["lora", UP], ["quantize-int8"]),
        ([UP, "lora"], ["prune-magnitude"]),
        (["full", "dynamic-range", "soft-threshold"], []),
        (["soft-threshold", "dynamic-range", "head-only"], []),
    ],
    ids=lambda part: "+".join(p if isinstance(p, str) else "up" for p in part),
)
def test_it_composes_and_a_loaded_artifact_predicts_the_same(
    bert, tmp_path, strategies, compressors
):
    values = tinymodels.recipe(bert, strategies=strategies, compressors=compressors)
    result = trained(tmp_path / "a", values)
    examples = toydata.labelled(8, seed=4)
    loaded = hub_core.load(tmp_path / "a")
    torch.testing.assert_close(
        loaded.scores(examples), result.predictor.scores(examples), rtol=1e-5, atol=1e-6
    )
    kept = [m for m in loaded.model.modules() if isinstance(m, Threshold)]
    assert len(kept) == (2 if UP in strategies else 1)


def test_layers_beneath_thresholds_are_still_quantized(bert, tmp_path):
    values = tinymodels.recipe(bert, strategies=[UP], compressors=["quantize-int8"])
    trained(tmp_path / "a", values)
    kinds = [type(m).__name__ for m in hub_core.load(tmp_path / "a").model.modules()]
    assert kinds.count("Int8Linear") == 12
    assert kinds.count("Thresholded") == 2


# -- what is refused


def test_a_backbone_without_up_layers_is_refused(monkeypatch):
    from hub_toys.backbones import ROLES

    monkeypatch.setitem(ROLES, "up", "other")
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(strategies=[UP]))
    assert caught.value.message == "soft-threshold: the backbone has no linear layer of the role up"
    assert caught.value.hint == (
        'set where = ["vector"]; its linear layers are attention-out, down, key, other, query, '
        "value"
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"where": []}, "where is empty and proximal is false: nothing would be thresholded"),
        ({"start": 1}, "start = 1: input should be less than 1"),
        ({"strength": 0}, "strength = 0: input should be greater than 0"),
    ],
)
def test_options_that_threshold_nothing_or_everything_are_refused(options, problem):
    with pytest.raises(OptionsError) as caught:
        quick.build(toydata.recipe(strategies=["full", {"name": "soft-threshold", **options}]))
    assert caught.value.message.startswith(
        "strategy soft-threshold: these options do not fit:\n  - "
    )
    assert problem in caught.value.message
