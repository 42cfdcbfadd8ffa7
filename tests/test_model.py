"""Parts reach what they did not make by its path, whatever was wrapped before them."""

import copy

import pytest
import quick
import torch
import toydata
from torch import nn
from torch.nn.utils import parametrize

from hub_core.errors import IncompatibleError
from hub_core.model import Batch, Head, Row, Wrapper, tensors_of
from hub_core.wrapper import chain_of

LAYER = "backbone.body.layer.0"
QUERY = f"{LAYER}.query"
ROLES = {"query", "key", "value", "attention-out", "up", "down"}


class Around(Wrapper):
    """Hands through what comes; cannot be folded."""

    def forward(self, *inputs):
        return self.base_layer(*inputs)


class Tripled(Around):
    def forward(self, inputs):
        return 3 * self.base_layer(inputs)

    def fold(self, linear):
        linear.weight.mul_(3)
        linear.bias.mul_(3)


class Beside(Around):
    """Adds D x, which commutes neither with tripling nor with doubling."""

    def __init__(self, base_layer):
        super().__init__(base_layer)
        generator = torch.Generator().manual_seed(1)
        self.beside = nn.Parameter(torch.randn(32, 32, generator=generator))

    def forward(self, inputs):
        return self.base_layer(inputs) + inputs @ self.beside.T

    def fold(self, linear):
        linear.weight.add_(self.beside)


class Careless(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner


class Doubled(nn.Module):
    """A parametrization."""

    def forward(self, tensor):
        return 2 * tensor


@pytest.fixture
def model():
    return quick.build(toydata.recipe()).model


@pytest.fixture
def inputs():
    return torch.randn(5, 32, generator=torch.Generator().manual_seed(2))


def scores(model):
    head = model.head("main")
    rows = head.features(quick.EXAMPLES, model.backbone)
    with torch.no_grad():
        return model.eval()(head.collate(rows, model.backbone)).scores


# -- paths


def test_a_path_need_not_name_the_wrappers_on_its_way(model):
    query = model.get_submodule(QUERY)
    for path in ("backbone", "backbone.body", LAYER, LAYER):
        model.wrap(path, Around)
    assert model.get_submodule(QUERY) is query
    assert model.get_submodule("backbone.base_layer.body.base_layer.layer.0.query") is query


def test_a_path_leads_to_the_outermost_module_and_on_request_to_the_innermost(model):
    linear = model.get_submodule(QUERY)
    model.wrap(QUERY, Tripled)
    model.wrap(QUERY, Beside)
    assert type(model.get_submodule(QUERY)) is Beside
    assert type(model.get_submodule(QUERY).base_layer) is Tripled
    assert model.innermost(QUERY) is linear


def test_an_empty_path_is_the_model(model):
    assert model.get_submodule("") is model


@pytest.mark.parametrize("wrapped", [(), (LAYER,)])
def test_a_path_that_leads_nowhere_is_told_with_where_it_ends(model, wrapped):
    for path in wrapped:
        model.wrap(path, Around)
    with pytest.raises(AttributeError) as caught:
        model.get_submodule(f"{LAYER}.quarry.weight")
    ends = "Around" if wrapped else "Layer"
    assert str(caught.value) == (f"there is no module {LAYER}.quarry.weight: {ends} has no quarry")


def test_a_head_is_found_under_what_was_wrapped_around_it(model):
    head = model.heads["main"]
    model.wrap("heads.main", Around)
    model.wrap("heads.main", Around)
    assert isinstance(model.head("main"), Head)
    assert model.head("main") is head
    assert model.heads["main"] is not head


def test_linear_layers_are_found_by_role(model):
    found = dict(model.linears("query", "down"))
    assert list(found) == [f"backbone.body.layer.{n}.{name}" for n in (0, 1)
                           for name in ("query", "down")]  # fmt: skip
    assert all(found[path] is model.get_submodule(path) for path in found)


def test_without_a_role_every_linear_layer_of_the_layers_is_found(model):
    own = [m for layer in model.layers() for m in layer.modules() if isinstance(m, nn.Linear)]
    found = [linear for _, linear in model.linears()]
    assert len(found) == len(own) == 2 * len(ROLES)
    assert set(found) == set(own)


def test_a_role_that_no_layer_has_finds_nothing(model):
    assert list(model.linears("gate")) == []


def test_linear_layers_are_found_under_wrappers_of_their_own_and_of_what_holds_them(model):
    before = dict(model.linears())
    model.wrap("backbone.body", Around)
    model.wrap(LAYER, Around)
    model.wrap(QUERY, Tripled)
    model.wrap(QUERY, Beside)
    assert dict(model.linears()) == before


def test_what_is_no_linear_layer_any_more_is_not_found_as_one(model):
    model.wrap(QUERY, Around)
    model.replace(QUERY, nn.Identity())
    assert QUERY not in dict(model.linears())
    assert len(dict(model.linears("query"))) == 1


def test_layers_come_bottom_to_top_with_what_is_wrapped_around_them(model):
    first, second = model.layers()
    assert second is model.get_submodule("backbone.body.layer.1")
    model.wrap(LAYER, Around)
    assert [type(layer).__name__ for layer in model.layers()] == ["Around", "Layer"]
    assert model.layers()[0].base_layer is first
    assert model.layers()[1] is second


def test_every_parameter_belongs_to_the_heads_or_to_the_body_also_added_ones(model):
    model.wrap(QUERY, Beside)
    model.wrap("heads.main", Around)
    head, body = model.head_parameters(), model.body_parameters()
    assert not head & body
    assert head | body == set(model.parameters())
    assert model.get_submodule(QUERY).beside in body
    assert model.head("main").output.weight in head


# -- wrapping and replacing


@pytest.mark.parametrize("around", [(), ("backbone.body", LAYER)])
def test_a_wrapper_takes_part_in_the_forward_pass(model, around):
    for path in around:
        model.wrap(path, Around)
    before = scores(model)
    model.wrap(QUERY, Tripled)
    changed = scores(model)
    assert not torch.allclose(changed, before, atol=1e-6)
    model.wrap(QUERY, Around)
    assert torch.equal(scores(model), changed)


def test_a_wrapper_that_hides_what_it_wraps_is_refused_and_nothing_changes(model):
    query = model.get_submodule(QUERY)
    with pytest.raises(TypeError) as caught:
        model.wrap(QUERY, Careless)
    assert str(caught.value) == "Careless does not keep what it wraps as base_layer"
    assert model.get_submodule(QUERY) is query


def test_a_wrapper_that_keeps_something_else_is_refused(model):
    with pytest.raises(TypeError) as caught:
        model.wrap(QUERY, lambda _: Around(nn.Identity()))
    assert str(caught.value) == "Around does not keep what it wraps as base_layer"


def test_a_wrapper_has_the_attributes_of_what_it_wraps(model):
    model.wrap(QUERY, Around)
    model.wrap(QUERY, Around)
    wrapper = model.get_submodule(QUERY)
    assert wrapper.in_features == 32
    assert wrapper.bias is model.innermost(QUERY).bias
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'nothing'"):
        _ = wrapper.nothing


class Namesakes(Around):
    """Registers what the inner module has too, in every way that there is."""

    def __init__(self, base_layer):
        super().__init__(base_layer)
        self.weight = nn.Parameter(torch.ones(3))
        self.register_parameter("bias", None)
        self.register_buffer("in_features", torch.tensor(1.0))
        self.add_module("out_features", nn.Identity())


def test_a_wrapper_may_name_its_own_like_what_the_inner_module_has(model):
    linear = model.get_submodule(QUERY)
    model.wrap(QUERY, Namesakes)
    wrapper = model.get_submodule(QUERY)
    assert wrapper.weight.shape == (3,)
    assert wrapper.bias is None
    assert wrapper.in_features == 1.0
    assert isinstance(wrapper.out_features, nn.Identity)
    assert wrapper.base_layer is linear
    assert linear.weight.shape == (32, 32)
    assert [name for name, _ in wrapper.named_parameters(recurse=False)] == ["weight"]


def test_a_wrapper_s_own_names_are_still_taken(model):
    model.wrap(QUERY, Around)
    wrapper = model.get_submodule(QUERY)
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        wrapper.register_parameter("forward", nn.Parameter(torch.ones(1)))
    assert wrapper.in_features == 32  # it has the attributes of what it wraps again


def test_a_wrapped_model_can_be_copied(model):
    model.wrap(QUERY, Tripled)
    model.wrap("heads.main", Around)
    assert torch.equal(scores(copy.deepcopy(model)), scores(model))


def test_a_wrapper_without_what_it_wraps_says_so():
    empty = Around.__new__(Around)
    nn.Module.__init__(empty)
    with pytest.raises(AttributeError, match="no attribute 'base_layer'"):
        _ = empty.anything


@pytest.mark.parametrize("around", [(), ("backbone.body", LAYER)])
def test_replacing_takes_the_place_of_the_module_at_a_path(model, around):
    for path in around:
        model.wrap(path, Around)
    other = nn.Linear(32, 32)
    model.replace(QUERY, other)
    assert model.get_submodule(QUERY) is other
    assert dict(model.linears())[QUERY] is other


def test_replacing_leaves_the_wrappers_in_their_place(model, inputs):
    model.wrap(QUERY, Beside)
    model.wrap(QUERY, Tripled)
    wrappers = model.get_submodule(QUERY), model.get_submodule(QUERY).base_layer
    other = nn.Linear(32, 32)
    model.replace(QUERY, other)
    assert (model.get_submodule(QUERY), model.get_submodule(QUERY).base_layer) == wrappers
    assert model.innermost(QUERY) is other
    expected = 3 * (other(inputs) + inputs @ wrappers[1].beside.T)
    assert torch.allclose(model.get_submodule(QUERY)(inputs), expected, atol=1e-5)


# -- baking


@pytest.mark.parametrize("wrappers", [(), (Beside,), (Tripled, Beside), (Beside, Tripled)])
@pytest.mark.parametrize("parametrized", [False, True])
@pytest.mark.parametrize("around", [(), ("backbone.body", LAYER)])
def test_baking_gives_a_plain_linear_layer_that_computes_the_same(
    model, inputs, wrappers, parametrized, around
):
    linear = model.get_submodule(QUERY)
    if parametrized:
        parametrize.register_parametrization(linear, "weight", Doubled())
        parametrize.register_parametrization(linear, "bias", Doubled())
    for wrapper in wrappers:
        model.wrap(QUERY, wrapper)
    for path in around:
        model.wrap(path, Around)
    expected = model.get_submodule(QUERY)(inputs)
    baked = model.bake(QUERY)
    assert baked is linear is model.get_submodule(QUERY)
    assert type(baked) is nn.Linear
    assert set(dict(baked.named_parameters())) == {"weight", "bias"}
    assert torch.allclose(baked(inputs), expected, atol=1e-4)


def test_parametrizations_are_folded_before_wrappers(model):
    linear = model.get_submodule(QUERY)
    weight = linear.weight.detach().clone()
    parametrize.register_parametrization(linear, "weight", Doubled())
    model.wrap(QUERY, Beside)
    beside = model.get_submodule(QUERY).beside.detach()
    assert torch.allclose(model.bake(QUERY).weight, 2 * weight + beside)


def test_inner_wrappers_are_folded_before_outer_ones(model):
    weight = model.get_submodule(QUERY).weight.detach().clone()
    model.wrap(QUERY, Tripled)
    model.wrap(QUERY, Beside)
    beside = model.get_submodule(QUERY).beside.detach()
    assert torch.allclose(model.bake(QUERY).weight, 3 * weight + beside)


def test_baking_a_plain_layer_changes_nothing(model):
    linear = model.get_submodule(QUERY)
    weight = linear.weight.detach().clone()
    assert model.bake(QUERY) is linear
    assert torch.equal(linear.weight, weight)


def test_a_library_s_adapters_are_folded_under_a_parametrized_weight():
    model = quick.moved(toydata.recipe(strategies=["lora"])).model
    plain = quick.build(toydata.recipe()).model
    for _, linear in model.linears("up"):
        parametrize.register_parametrization(linear, "weight", Doubled())
    expected = scores(model)
    for path, _ in list(model.linears()):
        model.bake(path)
    assert set(tensors_of(model)) == set(tensors_of(plain))
    assert torch.allclose(scores(model), expected, atol=1e-5)
    assert not torch.allclose(scores(plain), expected, atol=1e-3)


class Stays(Around):
    """Adds what depends on the input, so no matrix holds it."""

    stays = True

    def forward(self, inputs):
        return self.base_layer(inputs) + inputs.tanh()


def test_a_wrapper_that_stays_is_left_and_what_is_inside_is_folded(model):
    linear = model.innermost(QUERY)
    parametrize.register_parametrization(linear, "weight", Doubled())
    for wrapper in (Tripled, Stays, Tripled):
        model.wrap(QUERY, wrapper)
    expected = scores(model)
    assert model.bake(QUERY) is linear
    chain = [type(module) for module in chain_of(model.get_submodule(QUERY))]
    assert chain == [Tripled, Stays, nn.Linear]
    assert torch.allclose(scores(model), expected, atol=1e-5)


def test_a_wrapper_that_cannot_be_folded_is_told(model):
    model.wrap(QUERY, Around)
    with pytest.raises(IncompatibleError) as caught:
        model.bake(QUERY)
    assert caught.value.message == f"{QUERY}: Around cannot be folded"


@pytest.mark.parametrize("wrappers", [(Tripled, Around), (Around, Tripled)])
def test_where_one_wrapper_cannot_be_folded_none_is(model, wrappers):
    linear = model.get_submodule(QUERY)
    parametrize.register_parametrization(linear, "weight", Doubled())
    weight = linear.weight.detach().clone()
    for wrapper in wrappers:
        model.wrap(QUERY, wrapper)
    before = model.get_submodule(QUERY)
    with pytest.raises(IncompatibleError) as caught:
        model.bake(QUERY)
    assert caught.value.message == f"{QUERY}: Around cannot be folded"
    assert model.get_submodule(QUERY) is before
    assert parametrize.is_parametrized(linear)
    assert torch.equal(linear.weight, weight)


def test_a_wrapper_may_have_its_fold_as_an_attribute_of_its_own(model):
    weight = model.get_submodule(QUERY).weight.detach().clone()
    model.wrap(QUERY, Around)
    model.get_submodule(QUERY).fold = lambda linear: linear.weight.mul_(5)
    assert torch.allclose(model.bake(QUERY).weight, 5 * weight)


def test_what_is_no_linear_layer_any_more_cannot_be_baked(model):
    model.wrap(QUERY, Tripled)
    model.replace(QUERY, nn.Identity())
    with pytest.raises(IncompatibleError) as caught:
        model.bake(QUERY)
    assert caught.value.message == (f"{QUERY} is no linear layer any more, nothing can be folded")


def test_nothing_is_folded_into_a_weight_that_another_module_shares(model):
    other = model.get_submodule(f"{LAYER}.key")
    other.weight = model.get_submodule(QUERY).weight
    weight = other.weight.detach().clone()
    model.wrap(QUERY, Tripled)
    with pytest.raises(IncompatibleError) as caught:
        model.bake(QUERY)
    assert caught.value.message == (
        f"{QUERY}: its weight is shared with another module, so nothing can be folded in"
    )
    assert torch.equal(other.weight, weight)


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("wrappers", [(), (Tripled,)])
def test_a_parametrization_of_what_another_module_shares_stays(model, name, wrappers):
    linear, other = model.get_submodule(QUERY), model.get_submodule(f"{LAYER}.key")
    setattr(other, name, getattr(linear, name))
    before = getattr(other, name).detach().clone()
    parametrize.register_parametrization(linear, name, Doubled())
    for wrapper in wrappers:
        model.wrap(QUERY, wrapper)
    with pytest.raises(IncompatibleError) as caught:
        model.bake(QUERY)
    assert caught.value.message == (
        f"{QUERY}: its {name} is shared with another module, so nothing can be folded in"
    )
    assert torch.equal(getattr(other, name), before)
    assert torch.equal(getattr(linear, name), 2 * before)


def test_a_shared_parameter_that_nothing_changes_is_no_reason_to_refuse(model):
    linear, other = model.get_submodule(QUERY), model.get_submodule(f"{LAYER}.key")
    other.weight = linear.weight
    assert model.bake(QUERY) is linear
    assert other.weight is linear.weight
    parametrize.register_parametrization(linear, "bias", Doubled())
    expected = linear.bias.detach().clone()
    assert torch.equal(model.bake(QUERY).bias, expected)
    assert other.weight is linear.weight


# -- tensors


class Tensors(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("kept", torch.ones(1))
        self.register_buffer("again", self.kept)
        self.register_buffer("passing", torch.zeros(1), persistent=False)
        self.register_buffer("unset", None)


def test_tensors_are_parameters_and_persistent_buffers_each_once_under_its_first_name():
    module = Tensors()
    found = tensors_of(module)
    assert set(found) == {"first.weight", "first.bias", "kept"}
    assert found["first.weight"] is module.second.weight
    assert found["kept"] is module.again


def test_tensors_are_the_objects_themselves(model):
    model.wrap("heads.main", Around)
    found = tensors_of(model)
    assert found["heads.main.base_layer.output.weight"] is model.head("main").output.weight
    assert found["heads.main.base_layer.pooling"] is model.head("main").pooling
    assert set(found) == set(model.state_dict())


# -- rows and batches


def test_a_row_is_as_long_as_its_longest_input():
    assert Row({"ids": [1, 2, 3], "flags": [0]}, {}, 0).length == 3


def test_a_batch_has_targets_only_if_every_row_has_one(model):
    head = model.head("main")
    told, untold = head.features([{"text": "fine", "label": "good"}, {"text": "a day"}],
                                 model.backbone)  # fmt: skip
    assert head.collate([told, told], model.backbone).targets.tolist() == [1, 1]
    assert head.collate([told, untold], model.backbone).targets is None


def test_a_batch_moves_with_all_of_its_tensors():
    there = torch.device("meta")
    batch = Batch("main", [], {"ids": torch.zeros(2, 3)}, torch.zeros(2))
    moved = batch.to(there)
    assert (moved.inputs["ids"].device, moved.targets.device) == (there, there)
    assert moved.inputs["ids"].shape == (2, 3)
    assert Batch("main", [], {}).to(there).targets is None
