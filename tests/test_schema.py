"""``hub schema``: editors accept what ``hub train`` accepts, and show what there is."""

import json
import os
import subprocess
import sys
import tomllib

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from hub_core.catalog import Catalog, Plugin, installed
from hub_core.cli.root import hub
from hub_core.cli.schema import TITLE, recipe_schema
from hub_core.errors import RecipeError
from hub_core.recipe import Training, parse

GOOD = {
    "a whole recipe": """
        [backbone]
        name = "toy-encoder"
        seed = 3
        [tasks.mood]
        head = { name = "classification", pooling = "mean", dropout = 0 }
        data = ["a.csv", "b.csv"]
        validation = 0.2
        test = "test.csv"
        columns = { text = "review" }
        labels = ["bad", "good"]
        [[strategies]]
        name = "lora"
        r = 16
        [[compressors]]
        name = "hub-quantize:quantize-int8"
        [training]
        epochs = 3
        learning_rate = 1e-3
        tracker = "tensorboard"
    """,
    "bare names": """
        backbone = "toy-encoder"
        strategies = ["full", "hub-toys:toy-gradual"]
        [tasks.a]
        head = "classification"
        [tasks.b]
        head = "regression"
        validation = 0
    """,
}
BAD = {
    "no backbone": ("", 'tasks.a.head = "classification"'),
    "no task": ("tasks", 'backbone = "toy-encoder"\ntasks = {}'),
    "an unknown key": ("", 'backbone = "toy-encoder"\nepochs = 3\ntasks.a.head = "regression"'),
    "an unknown training key": ("training", "[training]\nepoch = 3"),
    "out of bounds": ("training.epochs", "[training]\nepochs = 0"),
    "a wrong type": ("training.batch_tokens", '[training]\nbatch_tokens = "many"'),
    "a share of one": ("tasks.a.test", 'tasks.a.head = "regression"\ntasks.a.test = 1.0'),
    "an empty list of files": ("tasks.a.data", 'tasks.a.head = "regression"\ntasks.a.data = []'),
    "a task's name": ("tasks", 'tasks."A b".head = "regression"'),
    "an unknown method": ("strategies.0", 'strategies = ["lorra"]'),
    "a method of another kind": ("strategies.0", 'strategies = ["classification"]'),
    "an unknown option": ("strategies.0", '[[strategies]]\nname = "lora"\nrank = 8'),
    "an option out of bounds": ("strategies.0", '[[strategies]]\nname = "lora"\nr = 0'),
    "an option that must be given": ("backbone", 'backbone = "transformers"'),
}
REST = {"backbone": "toy-encoder", "tasks": {"a": {"head": "classification"}}}
WHOLE = {"no backbone", "an unknown key"}


@pytest.fixture(scope="module")
def schema():
    return recipe_schema(installed())


def problems(schema, values):
    found = Draft202012Validator(schema).iter_errors(values)
    return {".".join(map(str, error.absolute_path)) for error in found}


def test_the_schema_is_valid(schema):
    assert validator_for(schema) is Draft202012Validator
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_recipe_is_accepted(schema, name):
    values = tomllib.loads(GOOD[name])
    parse(values)
    assert problems(schema, values) == set()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_recipe_is_refused_where_it_is_bad(schema, name):
    place, text = BAD[name]
    values = tomllib.loads(text) if name in WHOLE else REST | tomllib.loads(text)
    assert problems(schema, values) == {place}


def test_every_recipe_that_init_can_write_is_accepted(schema, tmp_path):
    path = tmp_path / "recipe.toml"
    flags = ["--backbone", "toy-encoder", "--head", "classification", "--data", "d.csv"]
    for provided in (*installed().methods("strategy"), *installed().methods("compressor")):
        flag = "--strategy" if provided.kind == "strategy" else "--compress"
        line = ["init", str(path), "--overwrite", *flags, flag, provided.method.name]
        assert CliRunner().invoke(hub, line, catch_exceptions=False).exit_code == 0
        values = tomllib.loads(path.read_text("utf-8"))
        if "…" not in path.read_text("utf-8"):
            assert problems(schema, values) == set(), provided.full_name


def test_every_method_is_there_with_its_options(schema):
    shared = schema["$defs"]
    for provided in installed().methods():
        found = shared[f"{provided.kind}.{provided.plugin.name}.{provided.method.name}"]
        assert found["description"].startswith(provided.method.summary)
        assert provided.method.name in found["properties"]["name"]["enum"]
        assert set(found["properties"]) == {"name", *provided.options_class().model_fields}
        assert found["additionalProperties"] is False
    rank = shared["strategy.hub-peft.lora"]["properties"]["r"]
    assert (rank["default"], rank["minimum"], rank["type"]) == (8, 1, "integer")
    assert rank["description"]


def test_every_key_has_a_description(schema):
    shared = schema["$defs"]
    training = shared["Training"]["properties"]
    assert set(training) == set(Training.model_fields)
    for values in (training, shared["TaskRecipe"]["properties"]):
        assert [k for k, v in values.items() if "description" not in v and "$ref" not in v] == []


def test_toml_has_no_null(schema):
    assert '"null"' not in json.dumps(schema)
    assert ": null" not in json.dumps(schema)


def test_without_plugins_no_method_can_be_chosen():
    schema = recipe_schema(Catalog([]))
    Draft202012Validator.check_schema(schema)
    assert problems(schema, REST) == {"backbone", "tasks.a.head"}


# -- methods that several plugins provide, or that cannot be used

TWIN = """
from hub_core.spec import Method, hookimpl
@hookimpl
def hub_strategies():
    yield Method(name='twin', summary='Twin', factory='a:B', options='{options}')
"""


@pytest.fixture
def twins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    plugins = []
    for name, options in (("one", "hub_core.options:NoOptions"), ("two", "no_such_module:A")):
        (tmp_path / f"twin_{name}.py").write_text(TWIN.format(options=options))
        plugins.append(Plugin(f"hub-{name}", f"twin_{name}", f"hub-{name}", "1.0"))
    return Catalog(plugins)


def test_a_name_of_two_plugins_must_say_which(twins):
    shared = recipe_schema(twins)["$defs"]
    assert shared["strategy.hub-one.twin"]["properties"]["name"]["enum"] == ["hub-one:twin"]


def test_options_that_cannot_be_imported_are_left_open(twins):
    schema = recipe_schema(twins)
    Draft202012Validator.check_schema(schema)
    strategy = {"$ref": "#/$defs/strategy", "$defs": schema["$defs"]}
    assert problems(strategy, {"name": "hub-two:twin", "anything": 1}) == set()
    assert problems(strategy, {"name": "hub-one:twin", "anything": 1}) == {""}


# -- the command


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "hub_core", *arguments], cwd=cwd, capture_output=True,
        encoding="utf-8", check=False, env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip


def test_the_schema_is_printed(schema):
    done = run("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == schema


def test_the_schema_is_written_and_init_refers_to_it(tmp_path, schema):
    done = run("schema", "--out", "recipe.schema.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "Wrote recipe.schema.json. Editors find it by a recipe's first line: "
        "#:schema ./recipe.schema.json\n"
    )
    assert json.loads((tmp_path / "recipe.schema.json").read_text("utf-8")) == schema
    assert run("schema", "--out", "recipe.schema.json", cwd=tmp_path).returncode == 0
    assert run("init", cwd=tmp_path).returncode == 0
    text = (tmp_path / "recipe.toml").read_text("utf-8")
    assert text.startswith("#:schema ./recipe.schema.json\n\n# A recipe for 'hub train'")
    assert tomllib.loads(text) == {"tasks": {"task": {}}, "training": {}}


def test_init_refers_to_no_schema_that_is_not_there(tmp_path):
    run("init", cwd=tmp_path)
    assert "#:schema" not in (tmp_path / "recipe.toml").read_text("utf-8")


@pytest.mark.parametrize("text", ["[backbone]\n", "{}", "[]", f'["{TITLE}"]'])
def test_only_a_schema_is_replaced(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    done = run("schema", "--out", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: {path} exists and is no schema of recipes\nHint: choose another name for --out\n"
    )
    assert path.read_text() == text


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    result = CliRunner().invoke(hub, ["schema", "--out", str(tmp_path / "gone" / "a.json")])
    assert isinstance(result.exception, RecipeError)
    path = tmp_path / "gone" / "a.json"
    assert result.exception.message == f"{path} cannot be written: No such file or directory"
