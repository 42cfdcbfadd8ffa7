"""Everything that does not compose is told at once, and what is built is the same every time."""

import functools

import pytest
import quick
import torch
import toydata
from hub_toys.backbones import Toy, ToyEncoder
from torch import nn
from torch.nn.utils import parametrize

import hub_core
from hub_core.build import assemble, plan
from hub_core.catalog import Catalog, Plugin, installed
from hub_core.declare import Task
from hub_core.errors import (
    AmbiguousMethodError,
    IncompatibleError,
    IntegrityError,
    OptionsError,
    UnknownMethodError,
)
from hub_core.model import tensors_of
from hub_core.part import Context, Part
from hub_core.recipe import parse
from hub_core.spec import hookimpl

HINT = "take one of them out, or change the order"


# -- this module is a plugin too


class Worn(ToyEncoder):
    """A backbone with buffers, one of them not stored, and a weight its checkpoint lacked."""

    def __init__(self, width):
        super().__init__(width)
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("passing", torch.zeros(1), persistent=False)
        self.extra = nn.Linear(2, 2)
        self.fresh = frozenset({self.extra.weight})


CALLS = []


class Told(Part):
    """Writes down what is called, and draws numbers from both sources of chance."""

    def load_state_dict(self, state):
        CALLS.append((state["name"], "state"))
        self.name = state["name"]

    def state_dict(self):
        return {"name": self.name}

    name = "new"

    def reshape(self, model, ctx):
        torch.rand(3)
        CALLS.append((self.name, "reshape", sorted(model.heads)))

    def prepare(self, model, ctx):
        torch.rand(3)
        self.needs, self.drawn = ctx.needs, torch.rand(2, generator=ctx.generator)
        CALLS.append((self.name, "prepare", sorted(model.heads)))


class Sharing(Told):
    pass


class Late(Part):
    """Adds a parameter during training."""

    def on_step_end(self, model, clock):
        model.extra = nn.Parameter(torch.zeros(1))


class Replacing(Part):
    """Puts another parameter in the place of one."""

    def on_step_end(self, model, clock):
        head = model.head("main")
        head.output.bias = nn.Parameter(head.output.bias.detach().clone())


class Leaving(Part):
    """Forgets to bake what it has parametrized."""

    def prepare(self, model, ctx):
        for _, linear in model.linears("up"):
            parametrize.register_parametrization(linear, "weight", nn.Identity())


own = functools.partial(quick.own, __name__)


@hookimpl
def hub_backbones():
    yield own(
        "own-worn",
        "Worn",
        "hub_toys.options:ToyBackboneOptions",
        provides={"text", "linears", "layers", "attention"},
    )


@hookimpl
def hub_strategies():
    yield own("own-told", "Told")
    yield own("own-sharing", "Sharing", provides={"own:share"})
    yield own("own-taking", "Told", requires={"own:share"}, removes={"own:share"})
    yield own("own-late", "Late")
    yield own("own-replacing", "Replacing")
    yield own("own-leaving", "Leaving")
    yield own("own-broken", "Told", "no_such_module:Options")


def catalog(*names):
    here = [Plugin(name, __name__, f"hub-{name}", "1.0") for name in names]
    return Catalog([*installed().plugins(), *here])


def planned(values, found=None, ctx=None):
    return plan(parse(values), found or catalog("own"), ctx or Context())


def built(values, states=None, labels=quick.LABELS):
    ctx = Context()
    blueprint = planned(values, ctx=ctx)
    tasks = [Task(name, tuple(labels)) for name in blueprint.recipe.tasks]
    return assemble(blueprint, tasks, ctx, states)


def refusal(values):
    with pytest.raises(IncompatibleError) as caught:
        planned(values)
    assert caught.value.hint == HINT
    return caught.value.message


def bits(model):
    return {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}


def same(first, second):
    return set(first) == set(second) and all(torch.equal(first[n], second[n]) for n in first)


# -- plan: what composes


def test_every_refusal_is_told_at_once_with_who_took_what_is_missing():
    values = toydata.recipe(
        head="toy-generate",
        strategies=["head-only", "full", "toy-lp-ft", "toy-lp-ft", "toy-alternate"],
        compressors=["quantize-int8", "toy-mask"],
    )
    assert refusal(values) == (
        "these do not compose:"
        "\n  - head toy-generate of task main needs 'generates' (can generate token by token), "
        "which backbone toy-encoder does not give"
        "\n  - strategy head-only needs 'head-weights' (the head has weights of its own to train), "
        "but nothing here gives it"
        "\n  - strategy full needs 'open-body' (parts of the backbone may be trained), "
        "but strategy head-only has taken it away"
        "\n  - strategy toy-lp-ft needs 'head-weights' (the head has weights of its own to train), "
        "but nothing here gives it"
        "\n  - strategy toy-lp-ft needs 'open-body' (parts of the backbone may be trained), "
        "but strategy head-only has taken it away"
        "\n  - strategy toy-lp-ft needs 'free-stages' (no part has brought its own training "
        "stages), but strategy toy-lp-ft has taken it away"
        "\n  - strategy toy-lp-ft needs 'head-weights' (the head has weights of its own to train), "
        "but nothing here gives it"
        "\n  - strategy toy-lp-ft needs 'open-body' (parts of the backbone may be trained), "
        "but strategy head-only has taken it away"
        "\n  - strategy toy-alternate needs 'several-tasks' (the recipe has two tasks or more), "
        "but nothing here gives it"
        "\n  - compressor toy-mask needs 'float-weights' (the linear layers still hold "
        "floating-point weights), but compressor quantize-int8 has taken it away"
        "\n  - compressor toy-mask needs 'plain-weights' (what a linear layer computes is the one "
        "matrix a later part sees), but compressor quantize-int8 has taken it away"
    )


def test_what_composes_in_one_order_is_refused_in_the_other():
    chain = ["toy-mask", "quantize-int8"]
    planned(toydata.recipe(strategies=["full"], compressors=chain))
    assert "toy-mask needs 'float-weights'" in refusal(
        toydata.recipe(strategies=["full"], compressors=chain[::-1])
    )


@pytest.mark.parametrize("options", [{"dropout": 0.1}, {"dora": True}])
def test_tags_depend_on_the_options_of_their_method(options):
    planned(toydata.recipe(strategies=["lora"], compressors=["toy-mask"]))
    values = toydata.recipe(strategies=[{"name": "lora", **options}], compressors=["toy-mask"])
    assert refusal(values) == (
        "these do not compose:"
        "\n  - compressor toy-mask needs 'plain-weights' (what a linear layer computes is the one "
        "matrix a later part sees), but strategy lora has taken it away"
    )


def test_a_plugin_s_own_tags_are_given_and_taken_like_all_others():
    planned(toydata.recipe(strategies=["own-sharing", "own-taking"]))
    assert refusal(toydata.recipe(strategies=["own-taking", "own-sharing"])) == (
        "these do not compose:"
        "\n  - strategy own-taking needs 'own:share' (what own calls share), "
        "but nothing here gives it"
    )
    assert refusal(toydata.recipe(strategies=["own-sharing", "own-taking", "own-taking"])) == (
        "these do not compose:"
        "\n  - strategy own-taking needs 'own:share' (what own calls share), "
        "but strategy own-taking has taken it away"
    )
    planned(toydata.recipe(strategies=["own-sharing", "own-taking", "own-sharing", "own-taking"]))


def test_a_backbone_lacks_what_it_does_not_announce():
    values = toydata.recipe(backbone="toy-bilstm", strategies=["toy-prefix"])
    assert refusal(values) == (
        "these do not compose:"
        "\n  - strategy toy-prefix needs 'hub-toys:stack' (what hub-toys calls stack), "
        "but nothing here gives it"
    )


def test_what_a_head_is_must_be_true_of_every_head():
    values = toydata.recipe(strategies=["toy-pairs"])
    planned(values)
    values["tasks"]["number"] = {"head": "regression"}
    assert refusal(values) == (
        "these do not compose:"
        "\n  - strategy toy-pairs needs 'one-label' (the head predicts one label per example), "
        "but nothing here gives it"
    )


def test_each_task_s_head_is_told_by_the_task_s_name():
    values = toydata.recipe(backbone="toy-bilstm", head="toy-generate")
    values["tasks"]["second"] = {"head": "toy-generate"}
    assert refusal(values) == (
        "these do not compose:"
        "\n  - head toy-generate of task main needs 'generates' (can generate token by token), "
        "which backbone toy-bilstm does not give"
        "\n  - head toy-generate of task second needs 'generates' (can generate token by token), "
        "which backbone toy-bilstm does not give"
    )


def test_several_tasks_give_what_a_part_for_several_tasks_needs():
    values = toydata.recipe(strategies=["full", "toy-alternate"])
    values["tasks"]["second"] = {"head": "classification"}
    assert [part.label for part in planned(values).parts] == [
        "strategy full",
        "strategy toy-alternate",
    ]


def test_what_was_trained_once_is_loaded_without_asking_again():
    values = toydata.recipe(strategies=["own-taking"])
    refusal(values)
    planned(values, ctx=Context(restoring=True))


def test_planning_reads_no_weights(monkeypatch):
    def fails(*_):
        raise AssertionError("weights were read")

    monkeypatch.setattr(Toy, "load", fails)
    planned(toydata.recipe(strategies=["lora"]))
    refusal(toydata.recipe(strategies=["own-taking"]))


# -- plan: names and options


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UnknownMethodError) as caught:
        planned(toydata.recipe(strategies=["lorra"]))
    assert caught.value.message == "no installed plugin provides a strategy named 'lorra'"
    assert caught.value.hint == (
        "did you mean 'lora'?; 'hub methods --kind strategy' lists what is installed"
    )


def test_several_unknown_names_and_unfit_options_are_told_at_once():
    values = toydata.recipe(
        backbone="toy-encodr",
        head="zzz",
        strategies=["full", {"name": "lora", "dropuot": 0.5, "r": 0}],
        compressors=["full"],
    )
    with pytest.raises(UnknownMethodError) as caught:
        planned(values)
    assert caught.value.message == (
        "4 choices of the recipe cannot be used:"
        "\n  - no installed plugin provides a backbone named 'toy-encodr' (did you mean "
        "'toy-encoder'?; 'hub methods --kind backbone' lists what is installed)"
        "\n  - no installed plugin provides a head named 'zzz' "
        "('hub methods --kind head' lists what is installed)"
        "\n  - strategy lora: these options do not fit:"
        "\n      - r = 0: input should be greater than or equal to 1"
        "\n      - dropuot: there is no such option; did you mean 'dropout'?"
        "\n    ('hub show lora' lists every option with its bounds)"
        "\n  - no installed plugin provides a compressor named 'full' (there is a strategy of that "
        "name; 'hub methods --kind compressor' lists what is installed)"
    )


def test_unfit_options_alone_are_told_one_in_a_line():
    with pytest.raises(OptionsError) as caught:
        planned(toydata.recipe(strategies=[{"name": "lora", "r": 0, "alpha": -1}]))
    assert caught.value.message == (
        "strategy lora: these options do not fit:"
        "\n  - r = 0: input should be greater than or equal to 1"
        "\n  - alpha = -1: input should be greater than 0"
    )
    assert caught.value.hint == "'hub show lora' lists every option with its bounds"


def test_a_name_that_two_plugins_provide_is_asked_for_in_full():
    found = catalog("own", "twin")
    with pytest.raises(AmbiguousMethodError) as caught:
        planned(toydata.recipe(strategies=["own-told"]), found)
    assert caught.value.message == "strategy 'own-told' is provided by 2 plugins"
    assert caught.value.hint == "write 'own:own-told' or 'twin:own-told'"
    [part] = planned(toydata.recipe(strategies=["twin:own-told"]), found).parts
    assert part.provided.plugin.name == "twin"


def test_names_of_several_plugins_and_plugins_that_cannot_be_used_are_told_with_the_rest():
    values = toydata.recipe(
        head="zzz", strategies=["own-told", "gone:own-told", "broken:full", "own-broken"]
    )
    here = [*catalog("own", "twin").plugins(), Plugin("broken", "no_such_module", "hub-no", "2.0")]
    with pytest.raises(UnknownMethodError) as caught:
        planned(values, Catalog(here))
    assert caught.value.message == (
        "5 choices of the recipe cannot be used:"
        "\n  - no installed plugin provides a head named 'zzz' (plugin broken is broken "
        "(ModuleNotFoundError: No module named 'no_such_module'); "
        "'hub methods --kind head' lists what is installed)"
        "\n  - strategy 'own-told' is provided by 2 plugins "
        "(write 'own:own-told' or 'twin:own-told')"
        "\n  - no plugin named 'gone' is installed ('hub plugins' lists the installed ones)"
        "\n  - plugin broken is broken: ModuleNotFoundError: No module named 'no_such_module' "
        "(repair or uninstall hub-no 2.0)"
        "\n  - strategy 'own-broken' is provided by 2 plugins "
        "(write 'own:own-broken' or 'twin:own-broken')"
    )


def test_options_that_a_plugin_cannot_load_are_told_with_the_rest():
    values = toydata.recipe(head="zzz", strategies=["own-broken"])
    with pytest.raises(UnknownMethodError) as caught:
        planned(values)
    assert caught.value.message == (
        "2 choices of the recipe cannot be used:"
        "\n  - no installed plugin provides a head named 'zzz' "
        "('hub methods --kind head' lists what is installed)"
        "\n  - plugin own cannot load no_such_module:Options for own-broken: "
        "ModuleNotFoundError: No module named 'no_such_module' "
        "(reinstall hub-own, or report this to its authors)"
    )


# -- the blueprint


def test_a_part_is_told_what_the_parts_after_it_need_and_nothing_else():
    values = toydata.recipe(
        strategies=["own-told", "own-sharing"], compressors=["toy-mask", "quantize-int8"]
    )
    int8 = {"linears", "float-weights"}
    needs = [int8 | {"plain-weights"}, int8 | {"plain-weights"}, int8, set()]
    assert list(planned(values).needs) == needs
    assert [ctx.needs for ctx in built(values).contexts] == needs
    assert [part.needs for part in built(values).parts[:2]] == needs[:2]


def test_methods_come_as_backbone_heads_strategies_compressors_in_the_order_of_the_recipe():
    values = toydata.recipe(
        strategies=["toy-range", "lora"], compressors=["quantize-int8", "toy-distill"]
    )
    values["tasks"]["first"] = {"head": "regression"}
    assert [method.label for method in planned(values).methods()] == [
        "backbone toy-encoder", "head classification", "head regression", "strategy toy-range",
        "strategy lora", "compressor quantize-int8", "compressor toy-distill",
    ]  # fmt: skip


def test_an_option_that_is_not_given_has_its_default():
    blueprint = planned(toydata.recipe(strategies=[{"name": "lora", "r": 3}]))
    assert (blueprint.parts[0].options.r, blueprint.parts[0].options.alpha) == (3, 16.0)


# -- assemble


def test_all_parts_reshape_with_their_state_before_heads_are_made_and_any_part_prepares():
    CALLS.clear()
    values = toydata.recipe(strategies=["own-told", "own-sharing"])
    model = built(values, states=[{"name": "a"}, {"name": "b"}])
    assert CALLS == [
        ("a", "state"), ("b", "state"),
        ("a", "reshape", []), ("b", "reshape", []),
        ("a", "prepare", ["main"]), ("b", "prepare", ["main"]),
    ]  # fmt: skip
    assert model.part_states() == [{"name": "a"}, {"name": "b"}]


def test_a_state_that_does_not_fit_its_part_is_told():
    values = toydata.recipe(strategies=["full"], compressors=["toy-shrink"])
    with pytest.raises(IntegrityError) as caught:
        built(values, states=[{}, {"other": 1}])
    assert caught.value.message == (
        "the stored state of compressor toy-shrink does not fit it: KeyError('kept')"
    )


def test_the_global_random_state_is_left_as_it_was_found():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    built(toydata.recipe(strategies=["own-told", "toy-prefix", "lora"]))
    assert torch.equal(torch.get_rng_state(), before)


CHANCE = {"strategies": ["toy-prefix", "lora", "own-told"]}


def test_the_same_seed_gives_the_same_weights_whatever_happened_before():
    torch.manual_seed(1)
    first = built(toydata.recipe(**CHANCE, seed=7))
    torch.manual_seed(2)
    second = built(toydata.recipe(**CHANCE, seed=7))
    assert same(bits(first.model), bits(second.model))
    assert torch.equal(first.parts[-1].drawn, second.parts[-1].drawn)


def test_another_seed_gives_other_weights_to_all_that_is_new_and_the_same_backbone():
    first = built(toydata.recipe(**CHANCE, seed=7))
    second = built(toydata.recipe(**CHANCE, seed=8))
    one, two = bits(first.model), bits(second.model)
    drawn = [name for name in one if "vectors" in name or "lora_A" in name
             or name == "heads.main.output.weight"]  # fmt: skip
    assert len(drawn) == 14
    assert [name for name in one if not torch.equal(one[name], two[name])] == drawn
    assert not torch.equal(first.parts[-1].drawn, second.parts[-1].drawn)


def test_every_task_has_a_head_of_its_own_in_the_order_of_the_recipe():
    values = toydata.recipe()
    values["tasks"]["again"] = {"head": "classification"}
    model = built(values).model
    assert list(model.heads) == ["main", "again"]
    assert not torch.equal(model.head("main").output.weight, model.head("again").output.weight)


# -- what is not the untouched base


@pytest.mark.parametrize("strategies", [
    ["head-only"], ["full"], ["lora"], ["toy-prefix"], ["toy-prefix", "toy-range"],
    [{"name": "top-layers", "layers": 1}],
])  # fmt: skip
def test_the_delta_is_all_that_is_not_an_untouched_base_tensor(strategies):
    trained = quick.moved(toydata.recipe(strategies=strategies))
    delta = trained.built.delta(trained.ever)
    base = bits(quick.build(toydata.recipe()).backbone)
    for name, tensor in tensors_of(trained.model).items():
        plain = name.replace("base_layer.", "").removeprefix("backbone.")
        untouched = plain in base and torch.equal(tensor, base[plain])
        assert (name in delta) is not untouched, name
        assert untouched or delta[name] is tensor


def test_without_training_the_delta_of_the_body_is_what_parts_have_added():
    delta = built(toydata.recipe(strategies=["toy-prefix", "full"])).delta(())
    assert set(delta) == {
        "backbone.body.vectors", "heads.main.output.weight", "heads.main.output.bias",
        "heads.main.pooling",
    }  # fmt: skip


def test_what_the_checkpoint_lacked_is_always_in_the_delta():
    model = built(toydata.recipe(backbone="own-worn"))
    body = {name for name in model.delta(()) if name.startswith("backbone.")}
    assert body == {"backbone.extra.weight"}


@pytest.mark.parametrize("how", ["in place", "another object"])
def test_a_buffer_of_the_base_is_in_the_delta_once_its_value_has_changed(how):
    model = built(toydata.recipe(backbone="own-worn"))
    backbone = model.model.backbone
    assert "backbone.seen" not in model.delta(())
    if how == "in place":
        backbone.seen[1] = 2.0
    else:
        backbone.seen = backbone.seen + 1
    assert torch.equal(model.delta(())["backbone.seen"], backbone.seen)
    assert "backbone.passing" not in model.delta(())


def test_a_base_tensor_is_told_from_the_others_by_itself_not_by_its_name():
    model = built(toydata.recipe())
    path = "backbone.body.layer.0.query"
    linear = nn.Linear(32, 32)
    model.model.replace(path, linear)
    delta = model.delta(())
    assert delta[f"{path}.weight"] is linear.weight
    assert "backbone.body.layer.0.key.weight" not in delta


# -- parts that break the laws


@pytest.mark.parametrize("name", ["own-late", "own-replacing"])
def test_a_part_that_changes_the_set_of_parameters_in_training_is_an_error(name):
    values = toydata.recipe(strategies=["head-only", name], epochs=1)
    with pytest.raises(RuntimeError) as caught:
        hub_core.train(values, toydata.labelled(32), catalog=catalog("own"))
    assert str(caught.value) == ("a part added or removed parameters outside reshape and prepare")


def test_a_part_that_adds_parameters_after_prepare_is_found_when_asked():
    model = built(toydata.recipe())
    model.check_unchanged()
    model.model.backbone.extra = nn.Parameter(torch.zeros(1))
    with pytest.raises(RuntimeError, match="a part added or removed parameters outside"):
        model.check_unchanged()
    del model.model.backbone.extra
    model.check_unchanged()


def test_a_parametrization_that_is_left_after_finalize_is_an_error():
    values = toydata.recipe(strategies=["head-only", "own-leaving"], epochs=1)
    with pytest.raises(RuntimeError) as caught:
        hub_core.train(values, toydata.labelled(32), catalog=catalog("own"))
    assert str(caught.value) == (
        "a part left a parametrization on backbone.body.layer.0.up after finalize"
    )


def test_a_finished_model_is_in_eval_mode_and_nothing_of_it_trains():
    model = built(toydata.recipe(strategies=["lora"]))
    model.model.train()
    model.finalize()
    assert not any(module.training for module in model.model.modules())
    assert not any(parameter.requires_grad for parameter in model.model.parameters())
