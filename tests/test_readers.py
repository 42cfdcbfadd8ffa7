"""What others wrote is read by installed readers, and nothing in it chooses what is opened."""

import json
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hub_classification.heads import Classification
from hub_core import readers
from hub_core.adapter_config import AdapterConfig, parse_adapter_config
from hub_core.declare import Task
from hub_core.errors import FormatError, IncompatibleError
from hub_core.evaluate import Predictor
from hub_core.library import LibraryBackbone, Linear, outputs_of, serve
from hub_core.model import Tokens
from hub_core.readers import reader_for, refuse_unsafe

AGAIN = "fetch it again, or ask its author for it"
WITHOUT = "ask its author for an adapter without it"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refused(error, message, hint):
    assert (error.value.message, error.value.hint) == (message, hint)


# -- which reader


class Own:
    """Reads repositories with a file of its own name."""

    def wanted(self, files):
        return ["own.json"] if "own.json" in files else None


OWN = Own()


@pytest.fixture
def points(monkeypatch):
    """Have only the readers that a test names."""

    def install(**places):
        made = [EntryPoint(name, place, readers.GROUP) for name, place in places.items()]
        found = SimpleNamespace(entry_points=lambda group: made if group == readers.GROUP else [])
        monkeypatch.setattr(readers, "metadata", found)
        readers.installed.cache_clear()

    yield install
    readers.installed.cache_clear()


def test_the_reader_that_knows_the_files_reads_them(points, monkeypatch):
    monkeypatch.setattr("hub_core.errors.own_reader", OWN, raising=False)
    points(own="hub_core.errors:own_reader")
    assert reader_for({"own.json": 3, "README.md": 5}) == (OWN, ["own.json"])


def test_a_repository_that_nobody_knows_is_told_with_what_it_holds(points, monkeypatch):
    monkeypatch.setattr("hub_core.errors.own_reader", OWN, raising=False)
    points(own="hub_core.errors:own_reader", wrong="hub_core.nowhere:x")
    with pytest.raises(FormatError) as error:
        reader_for({"notes.txt": 3, "README.md": 5})
    refused(
        error,
        "this is neither an artifact of hub-core nor of a kind that an installed reader knows "
        "(own); it holds 'README.md', 'notes.txt'",
        "the reader wrong is broken (ModuleNotFoundError: No module named 'hub_core.nowhere'); "
        "check the name, or ask its author what it was made with",
    )


def test_without_readers_and_files_the_sentence_still_reads(points):
    points()
    with pytest.raises(FormatError) as error:
        reader_for({})
    refused(
        error,
        "this is neither an artifact of hub-core nor of a kind that an installed reader knows "
        "(none); it holds no files",
        "check the name, or ask its author what it was made with",
    )


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "a/model.ckpt", "tf_model.h5",
                                  "flax_model.msgpack", "model.pkl"])  # fmt: skip
def test_weights_that_can_run_code_are_refused_by_name(points, name):
    points()
    with pytest.raises(FormatError) as error:
        reader_for({name: 10, "config.json": 2})
    refused(
        error,
        f"the weights are in {name}, and a file of that kind can run code when it is opened, so "
        "it is not read",
        "ask its author to publish safetensors, or convert it with the library that wrote it",
    )


def test_such_files_beside_safetensors_are_simply_not_wanted():
    refuse_unsafe({"pytorch_model.bin": 1, "model.safetensors": 1})


# -- adapter_config.json


def parse(known=None, **values):
    return parse_adapter_config(json.dumps({"peft_type": "ROWS", **values}), "it", known=known)


def test_a_configuration_is_read_with_the_keys_of_its_method():
    found = parse(
        {"ROWS": {"scale"}},
        task_type="SEQ_CLS",
        base_model_name_or_path="owner/name",
        revision=COMMIT,
        target_modules=["query", "value"],
        modules_to_save=["classifier"],
        r=4,
        peft_version="0.21.2",
        scale=2.5,
        inference_mode=False,
        strange=7,
        silent=None,
        off=False,
        megatron_core="megatron.core",
        tokenizer_name_or_path="elsewhere/tokenizer",
    )
    assert found == AdapterConfig(
        peft_type="ROWS",
        task_type="SEQ_CLS",
        base_model_name_or_path="owner/name",
        revision=COMMIT,
        target_modules=("query", "value"),
        modules_to_save=("classifier",),
        r=4,
        peft_version="0.21.2",
        rest={"scale": 2.5},
        dropped=("strange",),
    )
    assert found.safe_config() == {
        "peft_type": "ROWS",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": "owner/name",
        "revision": COMMIT,
        "target_modules": ["query", "value"],
        "modules_to_save": ["classifier"],
        "r": 4,
        "peft_version": "0.21.2",
        "scale": 2.5,
        "inference_mode": True,
    }


def test_the_type_alone_is_enough_and_without_a_list_every_harmless_key_is_kept():
    assert parse() == AdapterConfig(peft_type="ROWS")
    assert parse(scale={"a": [1, 2.5, "x", None, True]}).rest == {
        "scale": {"a": [1, 2.5, "x", None, True]}
    }


def test_the_tokenizer_is_kept_only_where_it_is_that_of_the_base_model():
    same = {"base_model_name_or_path": "a/b", "tokenizer_name_or_path": "a/b"}
    assert parse(**same).rest == {"tokenizer_name_or_path": "a/b"}
    assert parse(**{**same, "tokenizer_name_or_path": "a/c"}).rest == {}


def chosen(key):
    return f"it: {key} is set, and no downloaded file chooses what is imported or opened"


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"auto_mapping": {"parent_library": "os"}}, "auto_mapping"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
        ({"megatron_core": "os"}, "megatron_core"),
        ({"tokenizer_kwargs": {"trust_remote_code": True}}, "tokenizer_kwargs"),
        ({"start_path": "/etc/passwd"}, "start_path"),
        ({"state_file": "x"}, "state_file"),
        ({"some_kwargs": {}}, "some_kwargs"),
        ({"corda_config": {"cache_file": "/tmp/x"}}, "corda_config.cache_file"),
        ({"a": [{"b": {"name_or_path": "x"}}]}, "a.b.name_or_path"),
        ({"a": {"base_model_name_or_path": "x"}}, "a.base_model_name_or_path"),
    ],
)
def test_keys_that_choose_what_is_imported_or_opened_are_refused(values, key):
    with pytest.raises(FormatError) as error:
        parse(**values)
    refused(error, chosen(key), WITHOUT)


def test_such_keys_that_say_nothing_are_fine():
    quiet = {"auto_mapping": None, "start_path": None, "corda_config": {"cache_file": None}}
    assert parse(**quiet).rest == {"corda_config": {"cache_file": None}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("9" * 5000, "it is no JSON"),
        ("[]", "it holds no JSON object"),
        ("{}", "it: peft_type = None is no name of a method in upper case"),
        ('{"peft_type": "rows"}', "it: peft_type = 'rows' is no name of a method in upper case"),
        ('{"peft_type": 3}', "it: peft_type = 3 is no name of a method in upper case"),
        (
            '{"peft_type": "A", "task_type": "x"}',
            "it: task_type = 'x' is no name of a task in upper case",
        ),
        ('{"peft_type": "A", "s": NaN}', "it: s = nan is no number between -1e9 and 1e9"),
        ('{"peft_type": "A", "s": 1e999}', "it: s = inf is no number between -1e9 and 1e9"),
        (
            '{"peft_type": "A", "s": {"t": -2000000000}}',
            "it: s.t = -2000000000 is no number between -1e9 and 1e9",
        ),
        ('{"peft_type": "A", "s": [[[[[1]]]]]}', "it: s is nested more than 4 deep"),
        ('{"peft_type": "A", "r": "8"}', "it: r = '8' does not fit"),
        ('{"peft_type": "A", "r": -1}', "it: r = -1 does not fit"),
        ('{"peft_type": "A", "r": 200000}', "it: r = 200000 does not fit"),
        ('{"peft_type": "A", "r": true}', "it: r = True does not fit"),
        ('{"peft_type": "A", "revision": 5}', "it: revision = 5 does not fit"),
        ('{"peft_type": "A", "target_modules": [1]}', "it: target_modules = [1] does not fit"),
        (
            '{"peft_type": "A", "modules_to_save": "x"}',
            "it: modules_to_save = 'x' does not fit",
        ),
        (
            json.dumps({"peft_type": "A", "s": ["a\x1b[2Jb"]}),
            "it: s holds control characters",
        ),
        (json.dumps({"peft_type": "A", "\x1b[2J": 1}), "it has a key that is no name"),
        (json.dumps({"peft_type": "A", "a": {"k" * 201: 1}}), "it has a key that is no name"),
        (json.dumps({"peft_type": "A", "s": "x" * 2001}), "it: s is longer than 2,000 letters"),
        (
            '{"peft_type": "A", "target_modules": "(a+)+b"}',
            "it: target_modules holds '(a+)+b', which can take too long to match",
        ),
        (
            '{"peft_type": "A", "rank_pattern": {".*.*.*.*.*x": 3}}',
            "it: rank_pattern holds '.*.*.*.*.*x', which can take too long to match",
        ),
        (
            '{"peft_type": "A", "target_modules": "(a"}',
            "it: target_modules holds '(a', which is no pattern",
        ),
    ],
)
def test_what_is_no_plain_and_small_data_is_refused_with_its_key(text, message):
    with pytest.raises(FormatError) as error:
        parse_adapter_config(text, "it")
    refused(error, message, AGAIN)


def test_a_method_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(FormatError) as error:
        parse({"ROW": (), "COLUMN": ()})
    refused(
        error,
        "it: adapters of the kind ROWS are not read",
        "did you mean 'ROW'?; read are COLUMN, ROW",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"config": {"architecture": None}, "model_type": "x", "version": "adapters.1.2.0"},
            "it was written by the library adapters, whose format is not read",
        ),
        ({"fine_tune_type": "x"}, "it was written by MLX, whose adapters are not read"),
    ],
)
def test_files_of_that_name_by_other_libraries_are_recognized(values, message):
    with pytest.raises(FormatError) as error:
        parse_adapter_config(json.dumps(values), "it")
    refused(error, message, "ask its author for an adapter in the format of PEFT")


def test_a_file_that_is_missing_too_large_or_no_text_is_told(tmp_path):
    path = tmp_path / "adapter_config.json"
    for content, message in [
        (None, f"{path} is missing"),
        (b" " * 1_000_001, f"{path} has more than 1,000,000 bytes, which none has"),
        (b"\xff\xfe", f"{path} cannot be read as text"),
    ]:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(FormatError) as error:
            parse_adapter_config(path, str(path))
        refused(error, message, AGAIN)


# -- a library's model behind the contract


def library(width=3):
    """Return a model of nobody's library: it counts letters, and weighs the counts."""
    model = nn.Linear(4, width)
    with torch.no_grad():
        model.weight.copy_(torch.arange(4.0 * width).view(width, 4) / 7)
        model.bias.copy_(torch.arange(float(width)) / 3)

    def tokenize(texts, pairs=None):
        return [Tokens({"letters": [text.count(letter) for letter in "abcd"]}) for text in texts]

    def collate(inputs):
        return {"letters": torch.tensor([item["letters"] for item in inputs])}

    def run(inputs):
        return outputs_of(model(inputs["letters"].float()))

    return model, LibraryBackbone(model, run, tokenize, collate, width=width, name="letters")


TEXTS = ["abba", "dad", "cab a"]


def letters(texts):
    return torch.tensor([[float(text.count(letter)) for letter in "abcd"] for text in texts])


def test_a_head_of_the_catalog_hands_on_what_the_library_computed_to_the_bit():
    model, backbone = library()
    opened = serve(backbone, "classification", Task("main", ("x", "y", "z")))
    predictor = Predictor(opened.model, opened.tasks)
    with torch.no_grad():
        expected = model(letters(TEXTS))
    examples = [{"text": text} for text in TEXTS]
    assert torch.equal(predictor.scores(examples), expected)
    found = predictor.predict(TEXTS)
    assert [list(one["probabilities"].values()) for one in found] == expected.softmax(1).tolist()
    assert backbone.identity.name == "letters"


def test_a_linear_layer_from_a_file_is_what_the_head_computes():
    model, backbone = library()
    linear = Linear(torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([0.25]))
    opened = serve(backbone, "regression", Task("main"), linear)
    with torch.no_grad():
        expected = model(letters(TEXTS)) @ linear.weight.T + linear.bias
    found = Predictor(opened.model, opened.tasks).predict(TEXTS)
    torch.testing.assert_close(torch.tensor([[one["score"]] for one in found]), expected)


def test_a_linear_layer_of_another_shape_is_refused():
    linear = Linear(torch.zeros(2, 5), torch.zeros(2))
    with pytest.raises(FormatError) as error:
        serve(library()[1], "classification", Task("main", ("x", "y")), linear)
    refused(
        error,
        "the head's weight has shape [2, 5] and its bias [2], this model needs [2, 3] and [2]",
        "check the labels, and that head and model belong together",
    )


class Scaled(Classification):
    """A head with a parameter more."""

    def __init__(self, options, task, backbone):
        super().__init__(options, task, backbone)
        self.factor = nn.Parameter(torch.ones(()))


@pytest.mark.parametrize("name", ["toy-tags", "classification"])
def test_a_head_that_computes_anything_else_is_refused(name, monkeypatch):
    monkeypatch.setattr("hub_classification.heads.Classification", Scaled)
    with pytest.raises(IncompatibleError) as error:
        serve(library(2)[1], name, Task("main", ("x", "y")))
    refused(
        error,
        f"the head {name} is not one linear layer over a pooled text, so it cannot serve the "
        "model of another library",
        "choose another head",
    )
