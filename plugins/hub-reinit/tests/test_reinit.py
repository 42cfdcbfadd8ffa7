"""What is drawn has the properties of its method, what is computed is exact, the rest stays."""

import numpy as np
import pytest
import quick
import tinymodels
import torch
import toydata
from safetensors.torch import load_file
from sklearn.linear_model import Ridge

import hub_core
from hub_core.declare import Task
from hub_core.errors import IncompatibleError, OptionsError
from hub_core.part import Context, Part
from hub_reinit.computing import class_means, moments, ridge
from hub_reinit.drawing import DRAWN
from hub_reinit.options import ReinitOptions
from hub_reinit.part import Reinit

LAYER = "backbone.body.layer.1."


def drawn(method, *shape):
    return DRAWN[method](torch.Size(shape), torch.Generator().manual_seed(7)).double()


def started(seed=3, recipe=None, rows=None, labels=quick.LABELS, **options):
    """Return the model after ``observe``, its tensors before it, the batches, and the part."""
    values = recipe or toydata.recipe(strategies=["full"])
    built = quick.build(values, labels)
    model, part = built.model, Reinit(ReinitOptions(**options))
    batches = []
    for task in built.tasks:
        head = model.head(task.name)
        own = head.features(rows or toydata.labelled(60, seed=2), model.backbone)
        batches += [head.collate(own[n : n + 16], model.backbone) for n in range(0, len(own), 16)]
    ctx = Context(
        tasks=tuple(built.tasks),
        generator=torch.Generator().manual_seed(seed),
        batches=lambda n: batches[:n],
    )
    part.reshape(model, ctx)
    part.prepare(model, ctx)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.eval()
    part.observe(model, ctx)
    return model, before, batches, part


def moved(model, before):
    return {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}


# -- draws


def test_normal_weights_have_a_deviation_of_0_02_cut_at_two():
    found = drawn("normal", 400, 500)
    assert found.abs().max() <= 0.04
    assert found.mean() == pytest.approx(0, abs=2e-4)
    assert found.std() == pytest.approx(0.02 * 0.8796, rel=0.01)  # of a normal cut at +-2


def test_xavier_weights_have_the_variance_2_by_in_and_out():
    found = drawn("xavier", 300, 700)
    assert found.var() == pytest.approx(2 / 1000, rel=0.02)
    assert found.abs().max() <= (6 / 1000) ** 0.5


def test_kaiming_weights_have_the_variance_2_by_in():
    assert drawn("kaiming", 300, 700).var() == pytest.approx(2 / 700, rel=0.02)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (9, 9)])
def test_orthogonal_weights_have_orthonormal_rows_or_columns(shape):
    found = drawn("orthogonal", *shape)
    product = found @ found.T if shape[0] <= shape[1] else found.T @ found
    torch.testing.assert_close(product, torch.eye(min(shape)).double(), atol=1e-6, rtol=0)


def test_orthogonal_draws_prefer_no_direction():
    """Without its signs put right, Q of a Gaussian's Q R has a diagonal that is mostly negative."""
    generator = torch.Generator().manual_seed(1)
    found = torch.stack([DRAWN["orthogonal"](torch.Size((2, 2)), generator) for _ in range(800)])
    assert found.mean(0).abs().max() < 0.1


# -- what starts anew


def test_the_top_layer_starts_anew_and_everything_else_stays_to_the_bit():
    model, before, _, _ = started()
    norms = {f"{LAYER}norms.{n}.weight" for n in (0, 1)}
    biases = {name for name in before if name.startswith(LAYER) and name.endswith(".bias")}
    matrices = {n for n in before if n.startswith(LAYER) and n.endswith(".weight")} - norms
    assert matrices <= moved(model, before) <= matrices | norms | biases
    now = model.state_dict()
    assert all((now[name] == 1).all() for name in norms)
    assert all((now[name] == 0).all() for name in biases)


def test_norms_and_biases_are_put_back():
    recipe = toydata.recipe(strategies=["full"])
    model = quick.build(recipe).model
    part = Reinit(ReinitOptions(layers=2))
    ctx = Context(generator=torch.Generator().manual_seed(1))
    part.reshape(model, ctx)
    with torch.no_grad():
        for layer in model.layers():
            for parameter in layer.parameters():
                parameter.fill_(7.0)
    part.observe(model, ctx)
    for layer in model.layers():
        for name, parameter in layer.named_parameters():
            if "norms" in name:
                assert (parameter == float(name.endswith("weight"))).all()
            elif name.endswith("bias"):
                assert (parameter == 0).all()
            else:
                assert parameter.abs().max() <= 0.04


def test_the_same_seed_draws_the_same_and_another_seed_something_else():
    one, two, other = (started(seed=seed)[0].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one[f"{LAYER}up.weight"], other[f"{LAYER}up.weight"])


def test_a_head_starts_anew_and_the_backbone_stays_to_the_bit():
    model, before, _, _ = started(what=("head",), method="orthogonal")
    assert moved(model, before) == {"heads.main.output.weight"}
    weight = model.head("main").output.weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(2), atol=1e-6, rtol=0)


def test_a_pooler_starts_anew_and_trains(tmp_path):
    bert = tinymodels.save("bert", tmp_path / "bert")
    part = {"name": "reinit", "what": ["pooler"]}
    values = tinymodels.recipe(bert, options={"pooling": "pooler"}, strategies=[part])
    hub_core.train(values, toydata.labelled(24), out=tmp_path / "a", prove=False)
    stored = load_file(tmp_path / "a" / "delta.safetensors")
    assert set(stored) == {f"backbone.body.pooler.dense.{name}" for name in ("weight", "bias")}


def test_adapters_beside_what_starts_anew_stay():
    values = toydata.recipe(strategies=["lora", "reinit"])
    quickly = quick.build(values)
    model, part = quickly.model, quickly.built.parts[1]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    part.observe(model, Context(generator=torch.Generator().manual_seed(2)))
    changed = moved(model, before)
    assert f"{LAYER}up.base_layer.weight" in changed
    assert not [name for name in changed if "lora_" in name]


# -- unit variance


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_every_layer_s_outputs_have_unit_variance_after_lsuv(strategy):
    recipe = toydata.recipe(strategies=[strategy])
    model, _, batches, _ = started(
        recipe=recipe, what=("top-layers", "head"), layers=2, method="lsuv"
    )
    seen = {}
    for path, linear in [*model.linears(), ("head", model.head("main").output)]:
        linear.register_forward_hook(
            lambda _, given, out, path=path: seen.__setitem__(path, float(out.var(correction=0)))
        )
    with torch.no_grad():
        model(batches[0])
    assert len(seen) == 13
    assert all(abs(variance - 1) < 0.1 for variance in seen.values()), seen


def test_lsuv_scales_orthonormal_matrices():
    model, _, _, _ = started(method="lsuv")
    for path, linear in model.linears():
        if path.startswith(LAYER):
            weight = linear.weight.detach().double()
            small = weight if weight.shape[0] <= weight.shape[1] else weight.T
            product = small @ small.T
            scale = product.diagonal().mean()
            torch.testing.assert_close(
                product / scale, torch.eye(len(small)).double(), atol=1e-4, rtol=0
            )


# -- computed heads


def data(rows=80, width=12, outputs=3):
    generator = torch.Generator().manual_seed(5)
    inputs = 3 + torch.randn(rows, width, generator=generator, dtype=torch.double)
    ideals = torch.randn(rows, outputs, generator=generator, dtype=torch.double) - 1
    return inputs, ideals


def in_batches(inputs, ideals):
    return moments(zip(inputs.split(17), ideals.split(17), strict=True))


@pytest.mark.parametrize("penalty", [0.1, 1.0, 30.0])
def test_the_probe_is_scikit_learn_s_ridge(penalty):
    inputs, ideals = data()
    weights, biases = ridge(in_batches(inputs, ideals), penalty)
    theirs = Ridge(alpha=penalty).fit(inputs.numpy(), ideals.numpy())
    np.testing.assert_allclose(weights.numpy(), theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(biases.numpy(), theirs.intercept_, atol=1e-5)


@pytest.mark.parametrize("rows", [80, 9])
def test_without_a_penalty_the_probe_is_the_least_squares_fit(rows):
    inputs, ideals = data(rows)
    weights, biases = ridge(in_batches(inputs, ideals), 0.0)
    center = inputs - inputs.mean(0)
    wanted = np.linalg.lstsq(center.numpy(), (ideals - ideals.mean(0)).numpy())[0]
    np.testing.assert_allclose(weights.numpy(), wanted.T, atol=1e-5)
    np.testing.assert_allclose(biases, ideals.mean(0) - inputs.mean(0) @ wanted, atol=1e-5)


@pytest.mark.parametrize("head", ["classification", "regression", "multi-label"])
def test_a_head_begins_as_the_ridge_fit_on_its_own_vectors(head):
    labels = {"classification": quick.LABELS, "regression": (),
              "multi-label": ("mood", "place", "time")}[head]  # fmt: skip
    recipe = toydata.recipe(head=head, strategies=["full"])
    rows = toydata.DATA[head](60)
    model, before, batches, _ = started(
        recipe=recipe, rows=rows, labels=labels, what=("head",), method="probe", ridge=2.0
    )
    own = model.head("main")
    vectors = torch.cat([own.vector(model.encode(b), b) for b in batches]).detach().numpy()
    ideals = torch.cat([own.ideal_scores(b) for b in batches]).numpy()
    theirs = Ridge(alpha=2.0).fit(vectors.astype(float), ideals.astype(float))
    found = own.output.weight.detach().numpy()
    np.testing.assert_allclose(found, theirs.coef_.reshape(found.shape), atol=1e-5)
    np.testing.assert_allclose(own.output.bias.detach(), theirs.intercept_, atol=1e-5)
    assert moved(model, before) == {"heads.main.output.weight", "heads.main.output.bias"}


def test_class_means_are_directions_from_the_classes_common_center():
    inputs = torch.tensor([[4.0, 1.0], [6.0, 1.0], [5.0, 3.0]])
    ideals = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # means (5, 1) and (5, 3)
    weights, biases = class_means(in_batches(inputs, ideals), Task("main", ("a", "b")))
    torch.testing.assert_close(weights, torch.tensor([[0.0, -1.0], [0.0, 1.0]]).double())
    torch.testing.assert_close(biases, torch.tensor([2.0, -2.0]).double())


@pytest.mark.parametrize("method", ["class-means", "probe"])
def test_a_computed_head_is_right_before_any_training(method):
    rows = [
        {"text": " ".join([word] * 3), "label": label}
        for label, words in (("bad", toydata.BAD), ("good", toydata.GOOD))
        for word in words for _ in range(4)
    ]  # fmt: skip
    model, _, batches, _ = started(rows=rows, what=("head",), method=method)
    right = torch.cat([model(b).scores.argmax(1) == b.targets for b in batches])
    assert right.float().mean() > 0.9


# -- in training


def test_what_starts_anew_trains_and_is_stored(tmp_path):
    values = toydata.recipe(strategies=["reinit"])
    hub_core.train(values, toydata.labelled(32), out=tmp_path / "a", prove=False)
    stored = set(load_file(tmp_path / "a" / "delta.safetensors"))
    assert stored == {n for n in quick.build(values).built.names.values() if n.startswith(LAYER)}


@pytest.mark.parametrize(
    "strategies",
    [
        ["reinit", "full"],
        ["full", {"name": "reinit", "method": "lsuv", "what": ["top-layers", "head"]}],
        [{"name": "reinit", "what": ["head"]}, "head-only"],
        ["head-only", {"name": "reinit", "what": ["head"], "method": "class-means"}],
        ["lora", "reinit"],
        ["reinit", "encoder-only"],
        ["reinit", "bitfit"],
    ],
    ids=lambda part: "+".join(p if isinstance(p, str) else p["name"] for p in part),
)
def test_it_composes_and_a_loaded_artifact_predicts_the_same(tmp_path, strategies):
    bert = tinymodels.save("bert", tmp_path / "bert")
    values = tinymodels.recipe(bert, strategies=strategies)
    result = hub_core.train(values, toydata.labelled(32), out=tmp_path / "a", prove=False)
    examples = toydata.labelled(8, seed=4)
    torch.testing.assert_close(
        hub_core.load(tmp_path / "a").scores(examples), result.predictor.scores(examples),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip


def test_going_on_with_an_artifact_draws_nothing_again(tmp_path, monkeypatch):
    values = toydata.recipe(strategies=["reinit"], epochs=1)
    hub_core.train(values, toydata.labelled(32), out=tmp_path / "a", prove=False)
    drawn_again = []
    monkeypatch.setattr(Reinit, "observe", lambda *_: drawn_again.append(1))
    hub_core.train(values, toydata.labelled(32), start=tmp_path / "a")
    assert drawn_again == []


class Narrow(Part):
    narrows = True

    def select(self, model, chosen, clock):
        return chosen & model.head_parameters()


def test_what_another_part_keeps_from_training_is_told(monkeypatch):
    from hub_toys import strategies

    monkeypatch.setattr(strategies, "GrowingRange", Narrow)
    values = toydata.recipe(strategies=["reinit", "toy-range"])
    with pytest.raises(IncompatibleError) as caught:
        hub_core.train(values, toydata.labelled(32))
    assert caught.value.message == (
        f"reinit: {LAYER}query.weight starts anew but would never train, so it would not be stored"
    )
    assert caught.value.hint == ("take the strategy out that narrows what trains, or train longer")


# -- what is refused


def test_a_class_without_an_example_is_named():
    part = {"name": "reinit", "what": ["head"], "method": "class-means"}
    values = toydata.recipe(strategies=["head-only", part])
    values["tasks"]["main"]["labels"] = ["bad", "good", "perhaps"]
    with pytest.raises(IncompatibleError) as caught:
        hub_core.train(values, toydata.labelled(32))
    assert caught.value.message == (
        "reinit: task main has no training example of the label 'perhaps', so there is no mean to "
        "start from"
    )
    assert caught.value.hint == (
        'add one, take the label out of tasks.main.labels, or set method = "probe"'
    )


def test_layers_that_do_not_exist_are_refused():
    values = toydata.recipe(strategies=[{"name": "reinit", "layers": 3}])
    with pytest.raises(IncompatibleError) as caught:
        quick.build(values)
    assert caught.value.message == "reinit: layers = 3, but the backbone has 2"
    assert caught.value.hint == "give a number from 1 to 2"


@pytest.mark.parametrize("head", ["regression", "multi-label"])
def test_class_means_without_one_label_are_refused(head):
    part = {"name": "reinit", "what": ["head"], "method": "class-means"}
    with pytest.raises(IncompatibleError) as caught:
        quick.build(toydata.recipe(head=head, strategies=["head-only", part]))
    assert caught.value.message == (
        "these do not compose:\n  - strategy reinit needs 'one-label' (the head predicts one label "
        "per example), but nothing here gives it"
    )


@pytest.mark.parametrize("method", ["class-means", "probe"])
def test_a_computed_backbone_is_refused(method):
    with pytest.raises(OptionsError) as caught:
        quick.build(toydata.recipe(strategies=[{"name": "reinit", "method": method}]))
    assert caught.value.message.startswith("strategy reinit: these options do not fit:\n  - ")
    assert f'method = "{method}" computes the head: set what = ["head"]' in caught.value.message


def test_the_rate_is_one_for_layers_or_left_to_the_strategy_beside_a_head():
    assert Reinit(ReinitOptions()).learning_rate_hint == 1e-4
    assert Reinit(ReinitOptions(what=("head",))).learning_rate_hint is None
