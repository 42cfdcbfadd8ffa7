"""A recipe is read whole or refused with everything that is wrong with it."""

import pytest

from hub_core.errors import RecipeError
from hub_core.recipe import Recipe, parse, read

TOML = """
backbone = { name = "encoder", model = "owner/name" }

[tasks.mood]
head = "label"
data = "train.csv"
test = ["a.csv", "b.csv"]
columns = { text = "sentence" }
labels = ["bad", "good"]

[[strategies]]
name = "tune"
rank = 16

[training]
epochs = 5
learning_rate = 1e-3
"""
VALUES = {
    "backbone": {"name": "encoder", "model": "owner/name"},
    "tasks": {
        "mood": {
            "head": "label",
            "data": "train.csv",
            "test": ["a.csv", "b.csv"],
            "columns": {"text": "sentence"},
            "labels": ["bad", "good"],
        }
    },
    "strategies": [{"name": "tune", "rank": 16}],
    "training": {"epochs": 5, "learning_rate": 1e-3},
}


def small(task=None, **more):
    return {"backbone": "encoder", "tasks": {"mood": {"head": "label", **(task or {})}}, **more}


def refused(values):
    """Return the problems that are told about a recipe, in order."""
    with pytest.raises(RecipeError) as caught:
        parse(values)
    first, *problems = caught.value.message.split("\n  - ")
    assert first == "recipe: this is not a complete recipe:"
    assert caught.value.hint == "'hub init' writes a commented recipe to start from"
    return problems


def test_toml_and_a_mapping_give_the_same_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.toml").write_text(TOML, "utf-8")
    recipe = parse(read("recipe.toml"))
    assert recipe == parse(VALUES)
    assert recipe.strategies[0].options == {"rank": 16}
    assert recipe.backbone.options == {"model": "owner/name"}


def test_a_bare_text_names_a_method_without_options():
    bare = small(strategies=["tune"], compressors=["shrink"])
    tables = small({"head": {"name": "label"}}, strategies=[{"name": "tune"}],
                   compressors=[{"name": "shrink"}])  # fmt: skip
    tables["backbone"] = {"name": "encoder"}
    assert parse(bare) == parse(tables)
    assert parse(bare).strategies[0].options == {}


@pytest.mark.parametrize("values", [VALUES, small(), small({"validation": 0, "test": "t.csv"})])
@pytest.mark.parametrize("mode", ["python", "json"])
def test_a_recipe_survives_being_dumped(values, mode):
    recipe = parse(values)
    assert parse(recipe.model_dump(mode=mode)) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_recipe_cannot_be_changed():
    recipe = parse(small())
    with pytest.raises(ValueError, match="frozen"):
        recipe.training.epochs = 9


# -- files


def test_data_files_are_relative_to_the_recipe(tmp_path):
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "r.toml").write_text(
        'backbone = "encoder"\n[tasks.mood]\nhead = "label"\n'
        'data = ["one.csv", "../two.csv"]\nvalidation = "/elsewhere/v.csv"\ntest = 0.2\n',
        "utf-8",
    )
    task = parse(read(folder / "r.toml")).tasks["mood"]
    assert task.data == [str(folder / "one.csv"), str(folder / "../two.csv")]
    assert task.validation == "/elsewhere/v.csv"
    assert task.test == 0.2


def test_data_files_of_a_mapping_stay_as_they_are():
    assert parse(small({"data": "one.csv"})).tasks["mood"].data == "one.csv"


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (None, "{path}: there is no such recipe", "'hub init' writes one"),
        (b"head = label", "{path}: is not TOML: Invalid value (at line 1, column 8)",
         'put texts in quotes: head = "NAME"'),
        (b'head = "\xff"', "{path}: is not UTF-8", "save the file as UTF-8"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_recipe_is_told(tmp_path, content, message, hint):
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert caught.value.message == message.format(path=path)
    assert caught.value.hint == hint


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError) as caught:
        read(tmp_path)
    assert caught.value.message.startswith(f"{tmp_path}: cannot be read: ")


def test_a_byte_order_mark_before_the_recipe_is_no_problem(tmp_path):
    (tmp_path / "r.toml").write_bytes(b'\xef\xbb\xbfbackbone = "encoder"\n')
    assert read(tmp_path / "r.toml") == {"backbone": "encoder"}


def test_a_recipe_that_is_told_about_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"^mine\.toml: this is not a complete recipe:"):
        parse({}, source="mine.toml")


# -- problems


def test_every_problem_is_told_at_once_with_near_names():
    values = small({"colums": {}, "validation": 2}, trainin={}, strategies="tune")
    values["training"] = {"epoch": 1, "epochs": 0, "learning_rate": float("inf"), "seed": -1}
    values["tasks"]["Bad name"] = {"head": "label"}
    assert refused(values) == [
        "tasks.mood.validation: must be file names, or a share of the data from 0 to less than 1",
        "tasks.mood.colums: there is no such key; did you mean 'columns'?",
        "tasks.Bad name: a task's name has lowercase letters, digits, '-' and '_', a letter first",
        "strategies: must be a list",
        "training.epochs: must be greater than or equal to 1",
        "training.learning_rate: must be a finite number",
        "training.seed: must be greater than or equal to 0",
        "training.epoch: there is no such key; did you mean 'epochs'?",
        "trainin: there is no such key; did you mean 'training'?",
    ]


def test_near_names_are_those_of_the_same_table():
    assert refused(small(training={"columns": 1}, epochs=3)) == [
        "training.columns: there is no such key",
        "epochs: there is no such key",
    ]


def test_what_is_missing_is_told():
    assert refused({}) == ["backbone: must be given", "tasks: must be given"]
    assert refused({"backbone": {"model": "m"}, "tasks": {"mood": {}}}) == [
        "backbone.name: must be given",
        "tasks.mood.head: must be given",
    ]
    assert refused({"backbone": "", "tasks": {}}) == [
        "backbone.name: must not be empty",
        "tasks: must not be empty",
    ]


@pytest.mark.parametrize("values", [[], "recipe", 3, None])
def test_only_a_table_is_a_recipe(values):
    assert refused(values) == ["it must be a table"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"backbone": 3, "tasks": {"t": {"head": "h"}}},
         "backbone: must be a name, or a table with a name"),
        (small({"head": ["label"]}), "tasks.mood.head: must be a name, or a table with a name"),
        (small(strategies=[{"name": 3}]), "strategies.0.name: must be text in quotes"),
        (small(strategies=[None]), "strategies.0: must be a name, or a table with a name"),
        ({"backbone": "b", "tasks": {"mood": "label"}}, "tasks.mood: must be a table"),
        ({"backbone": "b", "tasks": ["mood"]}, "tasks: must be a table"),
        (small({"labels": [0, 1]}), "tasks.mood.labels.0: must be text in quotes"),
        (small({"labels": []}), "tasks.mood.labels: must name the labels; "
                                "leave it out to take those of the data"),
        (small({"labels": ["a", "b", "a"]}), "tasks.mood.labels: the label 'a' is named twice"),
        (small({"labels": ["a", "b "]}), "tasks.mood.labels: the label 'b ' has spaces around it"),
        (small({"columns": {"text": 3}}), "tasks.mood.columns.text: must be text in quotes"),
        (small(training=3), "training: must be a table"),
        (small(training={"precision": "fp16"}),
         "training.precision: must be 'auto', 'fp32' or 'bf16'"),
        (small(training={"warmup": 1.0}), "training.warmup: must be less than 1"),
        (small(training={"clip": float("nan")}), "training.clip: must be a finite number"),
    ],
)  # fmt: skip
def test_each_problem_has_its_sentence(values, problem):
    assert refused(values)[0] == problem


@pytest.mark.parametrize("name", ["Mood", "1st", "", "a b", "../x", "a/b", "a.b", "m" * 65, "é"])
def test_names_that_no_task_may_have(name):
    assert refused({"backbone": "b", "tasks": {name: {"head": "h"}}}) == [
        f"tasks.{name}: a task's name has lowercase letters, digits, '-' and '_', a letter first"
    ]


@pytest.mark.parametrize("value", [1, 1.5, -0.1, True, None, [], [1], "", {}, float("nan")])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_is_neither_files_nor_a_share_is_refused(split, value):
    assert refused(small({split: value})) == [
        f"tasks.mood.{split}: must be file names, or a share of the data from 0 to less than 1"
    ]


@pytest.mark.parametrize("value", [3, "", [], ["a.csv", 3], {"train": "a.csv"}])
def test_training_data_are_file_names(value):
    assert refused(small({"data": value})) == [
        "tasks.mood.data: must be a file name or a list of file names"
    ]


def test_shares_that_leave_nothing_to_train_on_are_refused():
    assert refused(small({"validation": 0.5, "test": 0.5})) == [
        "tasks.mood: validation and test together take all of the data"
    ]
    assert refused(small({"validation": 0.95})) == [  # the test share is 0.1 unless told otherwise
        "tasks.mood: validation and test together take all of the data"
    ]
    assert parse(small({"validation": 0.95, "test": 0})).tasks["mood"].validation == 0.95
    assert parse(small({"validation": 0.95, "test": "t.csv"})).tasks["mood"].test == "t.csv"
