"""Flags laid over a recipe: what each of them means."""

import sys
from types import ModuleType

import pytest

from hub_core.catalog import Catalog, Plugin
from hub_core.cli.flags import Flags, overlay
from hub_core.cli.settings import value_of
from hub_core.errors import AmbiguousMethodError, RecipeError, UnknownMethodError
from hub_core.spec import Method, hookimpl


def backbone(name, reference=""):
    return Method(name=name, summary=name, factory="a:B", options="a:C", reference=reference)


def catalog(**plugins):
    """Return a catalog of plugins that provide backbones only."""
    found = []
    for name, methods in plugins.items():
        module = ModuleType(f"flags_{name}_{len(sys.modules)}")
        module.hub_backbones = hookimpl(lambda methods=methods: methods, specname="hub_backbones")
        sys.modules[module.__name__] = module
        found.append(Plugin(name, module.__name__, f"dist-{name}", "1.0"))
    return Catalog(found)


ONE = catalog(one=[backbone("hugging", "model"), backbone("toy")])
TWO = catalog(one=[backbone("hugging", "model")], two=[backbone("static", "vectors")])
RECIPE = {
    "backbone": {"name": "hugging", "model": "tiny", "max_length": 64},
    "tasks": {"mood": {"head": "labels", "data": "mood.csv"}},
    "strategies": [{"name": "lora", "r": 4}, "schedule"],
    "compressors": ["int8"],
    "training": {"epochs": 2, "seed": 1},
}


def laid(base=RECIPE, known=ONE, **flags):
    return overlay(base, Flags(**flags), known)


def refused(error=RecipeError, **flags):
    with pytest.raises(error) as caught:
        laid(**flags)
    return caught.value.message, caught.value.hint


def test_no_flags_change_nothing_and_the_base_is_never_touched():
    assert laid() == RECIPE
    before = repr(RECIPE)
    laid(settings=["lora.r=2"], columns=["text=t"], training={"epochs": 9}, head="numbers")
    assert repr(RECIPE) == before


def test_flags_alone_make_a_recipe():
    assert laid(
        {}, data=["a.csv"], backbone="bert", head="labels", strategies=["lora"],
        compressors=["int8"], settings=["lora.r=16", "training.patience=2"], columns=["text=t"],
        validation="v.csv", test="0.2", training={"epochs": 5},
    ) == {
        "backbone": {"name": "hugging", "model": "bert"},
        "tasks": {"task": {"data": "a.csv", "validation": "v.csv", "test": 0.2,
                           "columns": {"text": "t"}, "head": {"name": "labels"}}},
        "strategies": [{"name": "lora", "r": 16}],
        "compressors": [{"name": "int8"}],
        "training": {"epochs": 5, "patience": 2},
    }  # fmt: skip


# -- backbone


def test_a_bare_reference_goes_to_the_only_backbone_that_takes_one():
    assert laid({}, backbone="./bert")["backbone"] == {"name": "hugging", "model": "./bert"}


def test_a_method_name_and_method_equals_value():
    assert laid({}, backbone="toy")["backbone"] == {"name": "toy"}
    assert laid({}, backbone="one:toy")["backbone"] == {"name": "one:toy"}
    assert laid({}, TWO, backbone="static=a=b.txt")["backbone"] == {
        "name": "static", "vectors": "a=b.txt"}  # fmt: skip


def test_another_model_keeps_the_recipes_other_options_and_another_method_does_not():
    assert laid(backbone="large")["backbone"] == {
        "name": "hugging", "model": "large", "max_length": 64}  # fmt: skip
    assert laid(backbone="toy")["backbone"] == {"name": "toy"}


def test_several_backbones_that_take_a_model_ask_for_a_choice():
    assert refused(base={}, known=TWO, backbone="bert") == (
        "--backbone bert: several installed backbones take a model",
        "write --backbone hugging=bert or --backbone static=bert",
    )
    chosen = laid({"backbone": "static"}, TWO, backbone="vectors.txt")["backbone"]
    assert chosen == {"name": "static", "vectors": "vectors.txt"}


def test_a_name_of_two_plugins_is_written_in_full():
    twins = catalog(one=[backbone("b", "model")], two=[backbone("b")])
    assert laid({}, twins, backbone="bert")["backbone"] == {"name": "one:b", "model": "bert"}
    assert refused(AmbiguousMethodError, base={}, known=twins, backbone="b=bert") == (
        "backbone 'b' is provided by 2 plugins", "write 'one:b' or 'two:b'")  # fmt: skip


def test_what_cannot_be_a_backbone_is_refused():
    assert refused(backbone="toy=x") == (
        "--backbone toy=x: toy takes no value here",
        "'hub show toy' lists its options, --set toy.OPTION=VALUE sets one",
    )
    message, hint = refused(UnknownMethodError, backbone="huging=bert")
    assert message == "no installed plugin provides a backbone named 'huging'"
    assert hint.startswith("did you mean 'hugging'?")
    assert refused(known=catalog(), base={}, backbone="bert")[0] == (
        "--backbone bert: no installed backbone is named like this or takes a model"
    )


# -- tasks


def test_task_flags_are_about_the_only_task():
    mood = laid(data=["a.csv", "b.csv"], head="numbers")["tasks"]["mood"]
    assert mood == {"head": {"name": "numbers"}, "data": ["a.csv", "b.csv"]}


def test_the_same_head_keeps_its_options():
    base = {"tasks": {"mood": {"head": {"name": "labels", "dropout": 0.3}}}}
    assert laid(base, head="labels")["tasks"]["mood"]["head"]["dropout"] == 0.3
    assert laid(base, head="numbers")["tasks"]["mood"]["head"] == {"name": "numbers"}


def test_several_tasks_need_a_name():
    base = {"tasks": {"a": {}, "b": {}}}
    assert refused(base=base, data=["x.csv"]) == (
        "the recipe has several tasks, and the flags do not say which one they are about",
        "name one of a, b with --task",
    )
    assert laid(base, data=["x.csv"], task="b")["tasks"] == {"a": {}, "b": {"data": "x.csv"}}
    assert laid(base, training={"seed": 3})["tasks"] == {"a": {}, "b": {}}
    assert refused(task="mod") == (
        "--task mod: the recipe has no such task", "did you mean 'mood'?")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"), [("0.25", 0.25), ("0", 0), ("0.0", 0), ("v.csv", "v.csv"), ("./1", "./1")]
)
def test_a_number_is_a_share_and_anything_else_a_file(text, value):
    assert laid(test=text)["tasks"]["mood"]["test"] == value


@pytest.mark.parametrize("text", ["1", "-0.1", "nan", "2000"])
def test_a_number_that_is_no_share_is_refused(text):
    assert refused(validation=text) == (
        f"--validation {text}: a share must be at least 0 and less than 1",
        f"for a file of that name write --validation ./{text}",
    )


def test_columns_read_role_equals_name():
    assert laid(columns=["text=a=b", "label=c"])["tasks"]["mood"]["columns"] == {
        "text": "a=b", "label": "c"}  # fmt: skip
    assert refused(columns=["text"]) == (
        "--column text: must read ROLE=NAME", "such as --column text=review")  # fmt: skip


# -- strategies and compressors


def test_strategies_replace_the_recipes_and_keep_the_options_of_the_same():
    found = laid(strategies=["other", "x:lora"])["strategies"]
    assert found == [{"name": "other"}, {"name": "x:lora", "r": 4}]
    assert laid(compressors=["prune"])["compressors"] == [{"name": "prune"}]


# -- set


@pytest.mark.parametrize(
    ("setting", "place", "value"),
    [
        ("training.epochs=7", ("training", "epochs"), 7),
        ("backbone.max_length=8", ("backbone", "max_length"), 8),
        ("hugging.model=big", ("backbone", "model"), "big"),
        ("tasks.mood.test=0", ("tasks", "mood", "test"), 0),
        ("tasks.mood.columns.text=t", ("tasks", "mood", "columns", "text"), "t"),
        ("tasks.mood.head.dropout=0.5", ("tasks", "mood", "head", "dropout"), 0.5),
        ("labels.dropout=0.5", ("tasks", "mood", "head", "dropout"), 0.5),
        ("lora.r=16", ("strategies", 0, "r"), 16),
        ("hub-peft:lora.r=16", ("strategies", 0, "r"), 16),
        ("schedule.slope=a=b", ("strategies", 1, "slope"), "a=b"),
        ("int8.per_channel=false", ("compressors", 0, "per_channel"), False),
    ],
)
def test_set_reaches_every_place(setting, place, value):
    found = laid(settings=[setting])
    for key in place:
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1e-4", 1e-4), ("true", True), ('["query", "value"]', ["query", "value"]),
        ('"7"', "7"), ("query", "query"), ("007", "007"), ("", ""), ("2024-01-01", "2024-01-01"),
        ("1\nother = 2", "1\nother = 2"), ("{ a = 1 }", {"a": 1}),
    ],
)  # fmt: skip
def test_a_value_is_toml_or_itself(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize("setting", ["lora.r", "=3", "lora.=3", ".r=3"])
def test_a_setting_without_key_or_value_is_refused(setting):
    assert refused(settings=[setting]) == (
        f"--set {setting}: must read KEY=VALUE",
        "such as --set training.epochs=5 or --set METHOD.OPTION=VALUE",
    )


def test_a_key_that_is_too_short_shows_its_form():
    assert refused(settings=["tasks.mood=3"])[1] == "write tasks.TASK.KEY=VALUE"
    assert refused(settings=["lora=3"])[1] == "write lora.KEY=VALUE"


def test_a_method_that_the_recipe_does_not_choose_names_the_nearest():
    assert refused(settings=["lor.r=3"]) == (
        "--set lor.r=3: the recipe chooses no 'lor'", "did you mean 'lora'?")  # fmt: skip
    assert refused(settings=["x.r=3"])[1] == (
        "keys begin with training, backbone, tasks, hugging, labels, lora, schedule, int8"
    )


def test_a_method_that_is_chosen_twice_asks_for_its_place():
    heads = {"tasks": {"a": {"head": "labels"}, "b": {"head": "labels"}}}
    assert refused(base=heads, settings=["labels.dropout=0"]) == (
        "--set labels.dropout=0: the recipe chooses labels at tasks.a.head and tasks.b.head",
        "write tasks.a.head.KEY or tasks.b.head.KEY",
    )
    twice = {"strategies": ["lora", "lora"]}
    assert refused(base=twice, settings=["lora.r=3"])[1] == "set it in the recipe's file"


def test_a_recipe_of_the_wrong_shape_is_refused_not_a_crash():
    assert refused(base={"tasks": [1]}, data=["a.csv"])[0] == "tasks: must be a table, not [1]"
    assert refused(base={"training": 3}, training={"seed": 1})[0] == (
        "training: must be a table, not 3"
    )
    assert laid({"strategies": "lora"}, settings=["training.seed=1"])["strategies"] == "lora"
