"""What PEFT and transformers wrote predicts here what it predicts there, or is refused."""

import json
import shutil
import subprocess
import sys

import peft
import pytest
import tinymodels
import torch
import toydata
from peft import (
    IA3Config,
    LoraConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification, pipeline

from hub_core.errors import FormatError, IntegrityError, PluginError
from hub_core.evaluate import Predictor
from hub_core.readers import Given, reader_for
from hub_transformers import foreign_base
from hub_transformers.foreign import PEFT, TRANSFORMERS
from hub_transformers.foreign_load import read_tensors
from hub_transformers.places import Place

TEXTS = ["a very fine day", "this film was sour and the day was cold", "it"]
NAMES = ("bad", "middling", "good")
LABELS = dict(enumerate(NAMES))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ASK = "fetch it again, or ask its author for it"
GIVE = "give them in the order of the outputs: --label NAME --label NAME …"
STRANGER = "do not use this repository"


def refused(error, message, hint):
    assert (error.value.message, error.value.hint) == (message, hint)


def listing(folder):
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def change(folder, name, **values):
    path = folder / name
    content = json.loads(path.read_text("utf-8"))
    content.update(values)
    content = {key: value for key, value in content.items() if value != "gone"}
    path.write_text(json.dumps(content), encoding="utf-8")


def change_tensors(path, new=None, gone=()):
    tensors = {**load_file(path), **(new or {})}
    save_file({k: v for k, v in tensors.items() if k not in gone}, path, {"format": "pt"})


def opened(reader, folder, **given):
    found = reader.open(folder, Given(**given))
    return Predictor(found.model, found.tasks)


def logits(model, family):
    inputs = tinymodels.tokenizer(family)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**inputs).logits


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def scores(predictor):
    return predictor.scores([{"text": text} for text in TEXTS])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture(scope="module")
def bodies(root):
    return {name: tinymodels.save(name, root / name) for name in tinymodels.FAMILIES}


def whole(bodies, family, folder, *, size="5GB", **config):
    """Save a model with a head as transformers does, with its tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_pretrained(bodies[family], **config)
        for parameter in model.classifier.parameters():
            torch.nn.init.normal_(parameter)
    model.save_pretrained(folder, max_shard_size=size)
    tinymodels.tokenizer(family).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def single(bodies, root):
    return whole(bodies, "bert", root / "single", id2label=LABELS)


@pytest.fixture
def bert(single, tmp_path):
    """A copy of a BERT with three labels, to be damaged."""
    return shutil.copytree(single, tmp_path / "bert")


# -- whole models


@pytest.mark.parametrize("family", tinymodels.FAMILIES)
def test_labels_and_probabilities_are_those_of_the_library_s_own_pipeline(bodies, family, tmp_path):
    folder = whole(bodies, family, tmp_path / family, id2label=LABELS)
    theirs = pipeline("text-classification", model=str(folder), top_k=None)(TEXTS)
    expected = [{one["label"]: one["score"] for one in found} for found in theirs]
    for found, probabilities in zip(
        opened(TRANSFORMERS, folder).predict(TEXTS), expected, strict=True
    ):
        assert found["label"] == max(probabilities, key=probabilities.get)
        assert found["probabilities"] == pytest.approx(probabilities, abs=1e-6)


def test_several_labels_are_those_of_the_library_s_own_pipeline(bodies, tmp_path):
    folder = whole(
        bodies, "roberta", tmp_path / "m", id2label=LABELS,
        problem_type="multi_label_classification",
    )  # fmt: skip
    theirs = pipeline("text-classification", model=str(folder), top_k=None)(TEXTS)
    for found, their in zip(opened(TRANSFORMERS, folder).predict(TEXTS), theirs, strict=True):
        expected = {one["label"]: one["score"] for one in their}
        assert found["probabilities"] == pytest.approx(expected, abs=1e-6)
        assert set(found["labels"]) == {name for name, p in expected.items() if p >= 0.5}


def test_a_single_output_is_a_number(bodies, tmp_path):
    folder = whole(bodies, "bert", tmp_path / "m", num_labels=1)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    predictor = opened(TRANSFORMERS, folder)
    found = torch.tensor([[one["score"]] for one in predictor.predict(TEXTS)])
    close(found, logits(model, "bert"))
    metrics, count = predictor.evaluate(toydata.scored(12))
    assert count == 12
    assert set(metrics) == {"rmse", "pearson", "spearman"}
    assert ("task", "regression") in TRANSFORMERS.describe(folder)


def test_labelled_rows_are_evaluated(single):
    predictor = opened(TRANSFORMERS, single, task="mood")
    found = [prediction["label"] for prediction in predictor.predict(TEXTS)]
    other = next(name for name in NAMES if name != found[0])
    rows = [{"text": t, "label": n} for t, n in zip(TEXTS, [other, *found[1:]], strict=True)]
    metrics, count = predictor.evaluate(rows, task="mood")
    assert count == 3
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert set(metrics) == {"accuracy", "macro_f1", "matthews", "calibration_error"}


def test_pairs_are_read_as_the_model_reads_them(single):
    pairs = [{"text": "fine", "pair": "a cold day"}, {"text": "it was", "pair": "good"}]
    model = AutoModelForSequenceClassification.from_pretrained(single).eval()
    inputs = tinymodels.tokenizer("bert")(
        [p["text"] for p in pairs], [p["pair"] for p in pairs], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        close(opened(TRANSFORMERS, single).scores(pairs), model(**inputs).logits)


def test_texts_longer_than_the_model_are_cut(bodies, tmp_path):
    for family in tinymodels.FAMILIES:
        folder = whole(bodies, family, tmp_path / family, id2label=LABELS)
        change(folder, "tokenizer_config.json", model_max_length=10**9)
        assert len(opened(TRANSFORMERS, folder).predict(["day " * 500])) == 1


def test_weights_in_several_files_are_read_and_all_of_them_are_wanted(bodies, tmp_path):
    folder = whole(bodies, "bert", tmp_path / "m", size="20KB", id2label=LABELS)
    shards = sorted(path.name for path in folder.glob("model-*.safetensors"))
    assert len(shards) > 2
    reader, wanted = reader_for(listing(folder))
    assert reader is TRANSFORMERS
    assert wanted == ["config.json", "model.safetensors.index.json", *shards,
                      "tokenizer.json", "tokenizer_config.json"]  # fmt: skip
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    close(scores(opened(TRANSFORMERS, folder)), logits(model, "bert"))
    assert dict(TRANSFORMERS.describe(folder))["bytes"].endswith(f" in {len(shards)} files")


@pytest.mark.parametrize("name", ["../single/model.safetensors", "/etc/passwd", "other.bin", 3])
def test_an_index_that_names_other_files_is_refused(bodies, tmp_path, name):
    folder = whole(bodies, "bert", tmp_path / "m", size="20KB", id2label=LABELS)
    change(folder, "model.safetensors.index.json", weight_map={"x": name})
    with pytest.raises(FormatError) as error:
        opened(TRANSFORMERS, folder)
    quoted = f"'{name}'" if isinstance(name, str) else name
    refused(
        error,
        f"{folder / 'model.safetensors.index.json'} names {quoted}, which is no name of a file "
        "with weights",
        STRANGER,
    )


def test_a_shard_that_is_missing_is_told(bodies, tmp_path):
    folder = whole(bodies, "bert", tmp_path / "m", size="20KB", id2label=LABELS)
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(IntegrityError) as error:
        opened(TRANSFORMERS, folder)
    refused(
        error,
        f"{folder} lacks {shard.name}, which model.safetensors.index.json names",
        "fetch it again",
    )


def test_facts_are_told_without_weights_and_without_heavy_libraries(single, tmp_path):
    facts = [
        ("kind", "model of transformers; no other model is needed"),
        ("type", "bert"),
        ("architecture", "BertForSequenceClassification"),
        ("task", "single_label_classification"),
        ("labels", "bad, middling, good"),
        ("parameters", "22,787 in 41 tensors of F32"),
    ]
    found = TRANSFORMERS.describe(single)
    assert found[:6] == facts
    assert [name for name, _ in found[6:]] == ["bytes", "written by"]
    shutil.copy(single / "config.json", tmp_path)
    assert TRANSFORMERS.describe(tmp_path)[:5] == facts[:5]
    code = (
        "import sys; from pathlib import Path; from hub_transformers.foreign import TRANSFORMERS\n"
        "TRANSFORMERS.describe(Path(sys.argv[1]))\n"
        "print([m for m in ('torch', 'transformers', 'peft', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(single)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("labels", "message", "hint"),
    [
        ((), "{config} does not name the labels of its 3 outputs", GIVE),
        (
            ("a", "b"),
            "2 labels were given, the model has 3 outputs",
            "give one label for each output, in their order",
        ),
        (("a", "b", "a"), "{config}: two of its labels have the same name", GIVE),
    ],
)
def test_labels_that_nobody_named_must_be_given_one_for_each_output(bert, labels, message, hint):
    change(bert, "config.json", id2label={str(n): f"LABEL_{n}" for n in range(3)})
    assert ("labels", "not said") in TRANSFORMERS.describe(bert)
    with pytest.raises(FormatError) as error:
        opened(TRANSFORMERS, bert, labels=labels)
    refused(error, message.format(config=bert / "config.json"), hint)
    assert opened(TRANSFORMERS, bert, labels=("x", "y", "z")).task().labels == ("x", "y", "z")


def test_a_single_output_takes_no_labels(bodies, tmp_path):
    folder = whole(bodies, "bert", tmp_path / "m", num_labels=1)
    with pytest.raises(FormatError) as error:
        opened(TRANSFORMERS, folder, labels=("a",))
    refused(
        error,
        f"{folder / 'config.json'}: it predicts 1 number, and a regression is one number without "
        "labels",
        "leave --label out",
    )


def test_a_model_without_a_head_is_described_and_not_opened(bodies):
    folder = bodies["bert"]
    assert ("task", "none that is served here") in TRANSFORMERS.describe(folder)
    with pytest.raises(FormatError) as error:
        opened(TRANSFORMERS, folder)
    refused(
        error,
        f"{folder / 'config.json'}: a model of the kind BertModel has no head for texts, so it "
        "predicts nothing here",
        "use it as a backbone: hub train --backbone bert …",
    )


@pytest.mark.parametrize(
    ("given", "option"), [({"head": "x"}, "--head-file"), ({"backbone": "x"}, "--backbone")]
)
def test_a_whole_model_takes_neither_head_nor_backbone(single, given, option):
    with pytest.raises(FormatError) as error:
        opened(TRANSFORMERS, single, **given)
    refused(error, f"{single} is a whole model with a head of its own", f"leave {option} out")


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        (
            {"auto_map": {"AutoConfig": "evil.Config"}},
            " names code to import (auto_map), and code of a repository is never run",
            "use a model that transformers knows by itself",
        ),
        (
            {"model_type": "own-kind"},
            ": the installed transformers knows no model of the type own-kind",
            "use a model that transformers knows by itself, or a newer transformers",
        ),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            ": its weights are quantized in a form of their own (quantization_config), which is "
            "not read",
            "use the model that it was made from",
        ),
        ({"model_type": "../x"}, ": model_type = '../x' is no name of an architecture", ASK),
        ({"architectures": "x"}, ": architectures = 'x' is no list of names", ASK),
        ({"num_labels": -1, "id2label": {}}, ": num_labels = -1 is no number of labels", ASK),
        (
            {"id2label": {"0": "a", "2": "b"}},
            ": id2label does not name the outputs 0, 1, 2 and so on",
            ASK,
        ),
        (
            {"id2label": {"0": "a", "1": 2}},
            ": id2label holds a label that is no text of 1 to 200 letters",
            ASK,
        ),
        (
            {"id2label": {"0": "a", "1": "\x1b[2J"}},
            ": id2label holds a label that is no text of 1 to 200 letters",
            ASK,
        ),
        (
            {"problem_type": "own"},
            ": problem_type = 'own' is no problem that the library knows",
            ASK,
        ),
        ({"problem_type": [1]}, ": problem_type = [1] is no problem that the library knows", ASK),
        (
            {"problem_type": "regression"},
            ": it predicts 3 numbers for a text, and one can be served here",
            "use a model with one output",
        ),
        (
            {"num_hidden_layers": 10**6},
            ": num_hidden_layers = 1000000, which no model has",
            STRANGER,
        ),
        (
            {"vocab_size": 10**8},
            " is of a model with 3,200,019,651 parameters, its weights have 22,787",
            STRANGER,
        ),
    ],
)
def test_a_configuration_that_cannot_be_trusted_is_refused(bert, values, message, hint):
    change(bert, "config.json", **values)
    with pytest.raises((FormatError, IntegrityError)) as error:
        opened(TRANSFORMERS, bert)
    refused(error, f"{bert / 'config.json'}{message}", hint)


def test_a_model_that_cannot_be_run_is_refused_when_it_is_opened(bert):
    change(bert, "config.json", num_attention_heads=-1)
    with pytest.raises(FormatError) as error:
        opened(TRANSFORMERS, bert)
    refused(
        error,
        f"{bert} cannot be run: invalid shape dimension -32 at index 3 of shape [2, 5, -1, -32]",
        ASK,
    )


def test_weights_that_are_no_numbers_are_refused(bert):
    weights = {"classifier.bias": torch.tensor([0.0, float("nan"), 0.0])}
    change_tensors(bert / "model.safetensors", weights)
    with pytest.raises(FormatError) as error:
        opened(TRANSFORMERS, bert)
    refused(error, f"{bert} cannot be run: it gives what is no number", ASK)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "no vocabulary is there"),
        (
            lambda folder: change(folder, "tokenizer_config.json", model_max_length="x"),
            "invalid literal for int() with base 10: 'x'",
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_read_is_told(bert, break_it, reason):
    break_it(bert)
    with pytest.raises(FormatError) as error:
        opened(TRANSFORMERS, bert)
    refused(
        error,
        f"{bert} holds no tokenizer that can be read: {reason}",
        "ask its author for tokenizer.json and tokenizer_config.json",
    )


def test_keys_that_choose_code_files_or_kernels_never_reach_the_library(bert):
    before = scores(opened(TRANSFORMERS, bert))
    change(bert, "config.json", attn_implementation="evil/kernel", _attn_implementation="evil/k",
           kernel_config={"a": "b"}, transformers_weights="/etc/passwd", name_or_path="/x",
           torch_dtype="float16", state_file="x")  # fmt: skip
    predictor = opened(TRANSFORMERS, bert)
    assert torch.equal(scores(predictor), before)
    config = predictor.model.backbone.library.config
    assert (config._attn_implementation, config.name_or_path) == ("sdpa", "None")
    assert not hasattr(config, "kernel_config")
    assert not hasattr(config, "state_file")


def test_an_adapter_that_lies_in_the_folder_of_a_model_changes_nothing(bert):
    before = scores(opened(TRANSFORMERS, bert))
    values = {"peft_type": "LORA", "base_model_name_or_path": "evil/base"}
    (bert / "adapter_config.json").write_text(json.dumps(values), encoding="utf-8")
    assert torch.equal(scores(opened(TRANSFORMERS, bert)), before)


def test_facts_hold_nothing_that_a_terminal_would_obey(bert):
    change(bert, "config.json", transformers_version="5\x1b[2J")
    assert dict(TRANSFORMERS.describe(bert))["written by"] == r"'transformers 5\x1b[2J'"


def test_code_that_a_configuration_names_is_told(bert):
    change(bert, "config.json", auto_map={"AutoConfig": "evil.Config"})
    assert ("code", "it names code to import, which is never run") in TRANSFORMERS.describe(bert)


def test_weights_without_a_part_of_the_model_are_refused(bert):
    change_tensors(bert / "model.safetensors", gone={"classifier.bias"})
    with pytest.raises(IntegrityError) as error:
        opened(TRANSFORMERS, bert)
    refused(
        error,
        f"{bert}: its weights are not those of BertForSequenceClassification, some are missing:\n"
        "  - classifier.bias",
        "ask its author for the weights of the whole model",
    )


def test_weights_of_another_shape_are_refused(bert):
    change_tensors(bert / "model.safetensors", {"classifier.weight": torch.zeros(4, 32)})
    with pytest.raises(IntegrityError) as error:
        opened(TRANSFORMERS, bert)
    refused(
        error,
        f"{bert}: its weights are not those of BertForSequenceClassification, some are missing:\n"
        "  - classifier.weight",
        "ask its author for the weights of the whole model",
    )


def test_a_file_that_is_cut_off_is_refused(bert):
    path = bert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(IntegrityError) as error:
        read_tensors(path)
    refused(error, f"{path} is no whole safetensors file", "fetch it again")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(bert):
    tokenizer = tinymodels.tokenizer("bert")
    tokenizer.add_tokens(["supercalifragilistic"])
    tokenizer.save_pretrained(bert)
    with pytest.raises(IntegrityError) as error:
        opened(TRANSFORMERS, bert)
    refused(
        error,
        f"{bert}: its tokenizer has 99 tokens, the model knows 98",
        "ask the author for the tokenizer that belongs to the model",
    )


@pytest.mark.parametrize(
    ("names", "found"),
    [(["config.json", "pytorch_model.bin"], "pytorch_model.bin"),
     (["adapter_config.json", "adapter_model.bin"], "adapter_model.bin")],
)  # fmt: skip
def test_weights_that_can_run_code_are_refused_by_name(names, found):
    with pytest.raises(FormatError) as error:
        reader_for(dict.fromkeys(names, 9))
    refused(
        error,
        f"the weights are in {found}, and a file of that kind can run code when it is opened, so "
        "it is not read",
        "ask its author to publish safetensors, or convert it with the library that wrote it",
    )


# -- adapters


CONFIGS = {
    "lora": LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["query", "value"]),
    "dora": LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"], use_dora=True),
    "ia3": IA3Config(task_type="SEQ_CLS", target_modules=["key", "value", "output.dense"],
                     feedforward_modules=["output.dense"]),
    "prompt": PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4),
    "p-tuning": PromptEncoderConfig(task_type="SEQ_CLS", num_virtual_tokens=4,
                                    encoder_hidden_size=16),
}  # fmt: skip


def adapted(base, config, make=AutoModelForSequenceClassification, **values):
    """Return a model with an adapter of which everything that trains was moved at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = get_peft_model(make.from_pretrained(base, **values), config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def saved(model, folder):
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module")
def lora(bodies, root):
    """An adapter with a head of three outputs, and the scores of PEFT itself."""
    model = adapted(bodies["bert"], CONFIGS["lora"], num_labels=3)
    return saved(model, root / "lora"), logits(model, "bert")


@pytest.fixture
def adapter(lora, tmp_path):
    """A copy of that adapter, to be damaged."""
    return shutil.copytree(lora[0], tmp_path / "adapter")


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("name", CONFIGS)
def test_an_adapter_gives_the_scores_of_peft_itself(bodies, family, name, tmp_path):
    config = CONFIGS[name].__class__(**CONFIGS[name].to_dict())
    model = adapted(bodies[family], config, num_labels=3)
    folder = saved(model, tmp_path / "adapter")
    reader, wanted = reader_for(listing(folder))
    assert reader is PEFT
    assert wanted == ["adapter_config.json", "adapter_model.safetensors"]
    predictor = opened(PEFT, folder, labels=NAMES, backbone=str(bodies[family]))
    close(scores(predictor), logits(model, family))
    plain = AutoModelForSequenceClassification.from_pretrained(bodies[family], num_labels=3)
    again = peft.PeftModel.from_pretrained(plain, folder)
    close(scores(predictor), logits(again, family))
    expected = logits(model, family).argmax(1)
    assert [p["label"] for p in predictor.predict(TEXTS)] == [NAMES[n] for n in expected]
    assert predictor.evaluate([{"text": t, "label": "bad"} for t in TEXTS])[1] == 3
    long = predictor.predict(["day " * 500])  # a prompt takes positions of the text
    assert len(long) == 1


def test_facts_of_an_adapter_are_told_without_its_weights(bodies, tmp_path):
    model = adapted(bodies["bert"], CONFIGS["lora"], num_labels=3)
    folder = saved(model, tmp_path / "adapter")
    change(folder, "adapter_config.json", base_model_name_or_path="owner/base", revision=COMMIT,
           strange={"a": 1}, peft_version="0.21.2")  # fmt: skip
    facts = [
        ("kind", "adapter of PEFT; its base model is fetched"),
        ("method", "LORA"),
        ("rank", "4"),
        ("modules", "query, value"),
        ("whole modules", "classifier, score"),
        ("task", "SEQ_CLS"),
        ("base model", "owner/base"),
        ("its revision", COMMIT),
        ("labels", "not said; adapters of PEFT never do"),
    ]
    last = [("written by", "peft 0.21.2"), ("not read", "strange")]
    size = (folder / "adapter_model.safetensors").stat().st_size
    large = [("parameters", "1,123 in 10 tensors of F32"), ("bytes", f"{size:,} in 1 file")]
    assert PEFT.describe(folder) == [*facts, *large, *last]
    (folder / "adapter_model.safetensors").unlink()
    assert PEFT.describe(folder) == [*facts, *last]


def test_an_adapter_s_own_number_of_outputs_counts(bodies, tmp_path):
    model = adapted(bodies["bert"], CONFIGS["lora"], num_labels=1)
    folder = saved(model, tmp_path / "adapter")
    predictor = opened(PEFT, folder, backbone=str(bodies["bert"]))
    close(scores(predictor), logits(model, "bert"))
    assert set(predictor.predict(["it"])[0]) == {"score"}


def test_the_head_of_the_catalog_can_be_chosen_where_no_file_says_it(lora, bodies):
    predictor = opened(
        PEFT, lora[0], labels=NAMES, backbone=str(bodies["bert"]), method="multi-label"
    )
    close(scores(predictor), lora[1])
    assert set(predictor.predict(["it"])[0]) == {"labels", "probabilities"}


def test_labels_of_the_base_model_count_where_their_number_fits(single, tmp_path):
    model = adapted(single, CONFIGS["lora"])
    folder = saved(model, tmp_path / "adapter")
    predictor = opened(PEFT, folder, backbone=str(single))
    assert predictor.task().labels == NAMES
    close(scores(predictor), logits(model, "bert"))


def test_labels_that_nobody_says_must_be_given(lora, bodies):
    with pytest.raises(FormatError) as error:
        opened(PEFT, lora[0], backbone=str(bodies["bert"]))
    path = bodies["bert"] / "config.json"
    refused(error, f"{path} does not name the labels of its 3 outputs", GIVE)
    with pytest.raises(FormatError) as error:
        opened(PEFT, lora[0], backbone=str(bodies["bert"]), labels=("a", "b"))
    refused(
        error,
        "2 labels were given, the model has 3 outputs",
        "give one label for each output, in their order",
    )


# -- an adapter without a head


FEATURES = {"task_type": "FEATURE_EXTRACTION", "r": 4, "target_modules": ["query"]}


@pytest.fixture
def features(bodies, tmp_path):
    model = adapted(bodies["roberta"], LoraConfig(**FEATURES), AutoModel)
    return saved(model, tmp_path / "features"), model


def head_file(folder, outputs=3, width=tinymodels.HIDDEN):
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(outputs, width, generator=generator)
    save_file({"weight": weight, "bias": torch.arange(float(outputs))}, folder / "head.safetensors")
    return folder / "head.safetensors", weight, torch.arange(float(outputs))


@pytest.mark.parametrize("pooling", ["first", "mean", ""])
def test_features_and_a_head_from_a_file_make_a_model(features, bodies, tmp_path, pooling):
    folder, model = features
    path, weight, bias = head_file(tmp_path)
    predictor = opened(PEFT, folder, labels=NAMES, head=str(path), pooling=pooling,
                       backbone=str(bodies["roberta"]))  # fmt: skip
    inputs = tinymodels.tokenizer("roberta")(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    vector = hidden[:, 0] if pooling == "first" else (hidden * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(scores(predictor), vector @ weight.T + bias, rtol=1e-5, atol=1e-5)


def test_a_prompt_before_a_text_is_no_part_of_what_a_head_pools(bodies, tmp_path):
    config = PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=4)
    model = adapted(bodies["bert"], config, AutoModel)
    path, weight, bias = head_file(tmp_path)
    predictor = opened(PEFT, saved(model, tmp_path / "p"), labels=NAMES, head=str(path),
                       pooling="first", backbone=str(bodies["bert"]))  # fmt: skip
    inputs = tinymodels.tokenizer("bert")(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**inputs).last_hidden_state
    close(scores(predictor), hidden[:, 4] @ weight.T + bias)


def test_a_head_from_a_file_may_take_the_place_of_one_that_was_not_published(bodies, tmp_path):
    model = adapted(bodies["roberta"], CONFIGS["lora"], num_labels=3)
    folder = saved(model, tmp_path / "adapter")
    weights = folder / "adapter_model.safetensors"
    change_tensors(weights, gone={name for name in load_file(weights) if "classifier" in name})
    path, weight, bias = head_file(tmp_path)
    predictor = opened(PEFT, folder, labels=NAMES, head=str(path), pooling="first",
                       backbone=str(bodies["roberta"]))  # fmt: skip
    inputs = tinymodels.tokenizer("roberta")(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model.base_model.model.roberta(**inputs).last_hidden_state
    expected = hidden[:, 0] @ weight.T + bias
    torch.testing.assert_close(scores(predictor), expected, rtol=1e-5, atol=1e-5)


def test_without_the_library_peft_it_is_said_what_to_install(lora, bodies, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(PluginError) as error:
        opened(PEFT, lora[0], labels=NAMES, backbone=str(bodies["bert"]))
    refused(
        error,
        "adapters of PEFT need the library peft, which cannot be imported: import of peft halted; "
        "None in sys.modules",
        "pip install peft",
    )


def test_weights_of_half_precision_are_computed_with_in_single_precision(lora, bodies, tmp_path):
    folder = shutil.copytree(lora[0], tmp_path / "half")
    path = folder / "adapter_model.safetensors"
    change_tensors(path, {name: tensor.half() for name, tensor in load_file(path).items()})
    predictor = opened(PEFT, folder, labels=NAMES, backbone=str(bodies["bert"]))
    assert {p.dtype for p in predictor.model.parameters()} == {torch.float32}
    torch.testing.assert_close(scores(predictor), lora[1], rtol=0.01, atol=0.02)


def test_an_adapter_without_a_head_takes_that_of_its_base_model(bodies, tmp_path):
    base = whole(bodies, "roberta", tmp_path / "base", id2label=LABELS)
    config = LoraConfig(**{**FEATURES, "task_type": None})
    model = adapted(base, config)
    folder = saved(model, tmp_path / "adapter")
    change(folder, "adapter_config.json", auto_mapping=None)
    predictor = opened(PEFT, folder, backbone=str(base))
    close(scores(predictor), logits(model, "roberta"))


def test_without_any_head_it_is_said_how_to_give_one(features, bodies):
    with pytest.raises(FormatError) as error:
        opened(PEFT, features[0], backbone=str(bodies["roberta"]), labels=NAMES)
    refused(
        error,
        f"{features[0]} holds no head, and its base model roberta has none for texts",
        "give one with --head-file FILE: safetensors with weight (labels, width) and bias",
    )


def test_a_head_file_that_is_none_is_refused(features, bodies, tmp_path):
    given = {"backbone": str(bodies["roberta"]), "labels": NAMES}
    hint = "give one with --head-file FILE: safetensors with weight (labels, width) and bias"
    missing = tmp_path / "nowhere.safetensors"
    with pytest.raises(FormatError) as error:
        opened(PEFT, features[0], head=str(missing), **given)
    refused(error, f"there is no head file {missing}", hint)
    other = tmp_path / "other.safetensors"
    save_file({"w": torch.zeros(2)}, other)
    with pytest.raises(FormatError) as error:
        opened(PEFT, features[0], head=str(other), **given)
    refused(
        error,
        f"{other} holds {{'w': [2]}}, and a head file holds weight (labels, width) and bias "
        "(labels)",
        hint,
    )
    path, *_ = head_file(tmp_path, width=7)
    with pytest.raises(FormatError) as error:
        opened(PEFT, features[0], head=str(path), **given)
    refused(
        error,
        "the head's weight has shape [3, 7] and its bias [3], this model needs [3, 32] and [3]",
        "check the labels, and that head and model belong together",
    )


def test_a_head_file_beside_a_head_is_refused(lora, bodies, tmp_path):
    path, *_ = head_file(tmp_path)
    with pytest.raises(FormatError) as error:
        opened(PEFT, lora[0], head=str(path), backbone=str(bodies["bert"]), labels=NAMES)
    refused(error, f"{lora[0]} has a head of its own", "leave --head-file out to use it")


# -- where the base model is


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        (
            {"base_model_name_or_path": None},
            " names no base model",
            "say which it is: --backbone NAME-OR-FOLDER",
        ),
        *[
            (
                {"base_model_name_or_path": place, "revision": COMMIT},
                f" says that its base model is '{place}', which is no owner/name on the Hub and "
                "is never followed",
                "if you know the model and trust it: --backbone NAME-OR-FOLDER",
            )
            for place in ("/home/author/bert", "../bert", "./bert", "bert-base", "a/b/c",
                          "https://example.org/bert", "../../etc", "C:\\\\bert")
        ],
        *[
            (
                {"base_model_name_or_path": "owner/bert", "revision": revision},
                " says that its base model is 'owner/bert', but not at which commit, and what a "
                "name means can change",
                "if that is the model you want: --backbone owner/bert",
            )
            for revision in (None, "main", COMMIT[:12], COMMIT.upper())
        ],
    ],
)  # fmt: skip
def test_a_base_model_is_followed_only_at_a_full_commit(adapter, values, message, hint):
    change(adapter, "adapter_config.json", **values)
    with pytest.raises(FormatError) as error:
        opened(PEFT, adapter, labels=NAMES)
    refused(error, f"{adapter / 'adapter_config.json'}{message}", hint)


def test_a_base_model_at_a_full_commit_is_fetched(adapter, lora, bodies, monkeypatch):
    asked = []

    def fetch(name, revision, *, weights):
        asked.append((name, revision, weights))
        return Place(bodies["bert"], f"{name}@{revision}", name)

    monkeypatch.setattr(foreign_base, "from_hub", fetch)
    change(adapter, "adapter_config.json", base_model_name_or_path="owner/bert", revision=COMMIT)
    close(scores(opened(PEFT, adapter, labels=NAMES)), lora[1])
    assert asked == [("owner/bert", COMMIT, True)]


def test_what_the_user_names_wins_over_what_the_file_claims(adapter, lora, bodies, monkeypatch):
    asked = []

    def named(name, revision, *, weights):
        asked.append((name, revision, weights))
        return Place(bodies["bert"], "", name)

    monkeypatch.setattr(foreign_base, "named_place", named)
    change(adapter, "adapter_config.json", base_model_name_or_path="evil/bert", revision=COMMIT)
    close(scores(opened(PEFT, adapter, labels=NAMES, backbone="my/bert")), lora[1])
    opened(PEFT, adapter, labels=NAMES, backbone="my/bert@v1")
    opened(PEFT, adapter, labels=NAMES, backbone=str(bodies["bert"]))
    assert asked == [
        ("my/bert", "", True), ("my/bert", "v1", True), (str(bodies["bert"]), "", True)
    ]  # fmt: skip


# -- adapters that are not what they say


def of_another(folder, *lines):
    listed = "".join(f"\n  - {line}" for line in lines)
    return (
        f"{folder}: its tensors are not those of its configuration on this base model:{listed}",
        "check the base model (--backbone), or fetch the adapter again",
    )


LAYER = "base_model.model.bert.encoder.layer.0.attention.self.query"


@pytest.mark.parametrize(
    ("new", "gone", "lines"),
    [
        ({}, {f"{LAYER}.lora_A.weight"}, [f"missing: {LAYER}.lora_A.weight"]),
        ({}, {"base_model.model.classifier.bias"}, ["missing: base_model.model.classifier.bias"]),
        ({"extra.weight": torch.zeros(2)}, set(), ["unexpected: extra.weight"]),
        (
            {f"{LAYER}.lora_A.weight": torch.zeros(4, 31)},
            set(),
            [f"{LAYER}.lora_A.weight has shape [4, 31], the model's has [4, 32]"],
        ),
    ],
)
def test_tensors_that_are_missing_unexpected_or_misshapen_are_listed(
    single, tmp_path, new, gone, lines
):
    folder = saved(adapted(single, CONFIGS["lora"]), tmp_path / "adapter")
    change_tensors(folder / "adapter_model.safetensors", new, gone)
    with pytest.raises(IntegrityError) as error:
        opened(PEFT, folder, backbone=str(single))
    refused(error, *of_another(folder, *lines))


def test_a_head_that_the_configuration_promises_must_be_there(adapter, bodies, single):
    head = {"base_model.model.classifier.weight", "base_model.model.classifier.bias"}
    change_tensors(adapter / "adapter_model.safetensors", gone=head)
    with pytest.raises(FormatError) as error:
        opened(PEFT, adapter, labels=NAMES, backbone=str(single))
    refused(
        error,
        f"{adapter} lacks the head that its configuration promises (modules_to_save)",
        "fetch it again, or ask its author for it",
    )


def test_a_part_that_neither_adapter_nor_base_model_holds_would_be_random(bodies, tmp_path):
    config = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["Wqkv"])
    folder = saved(adapted(bodies["modernbert"], config, num_labels=3), tmp_path / "adapter")
    with pytest.raises(IntegrityError) as error:
        opened(PEFT, folder, labels=NAMES, backbone=str(bodies["modernbert"]))
    refused(
        error,
        f"neither {folder} nor its base model {bodies['modernbert']} holds all of "
        "ModernBertForSequenceClassification:\n  - head.dense.weight\n  - head.norm.weight",
        "the adapter was trained with parts that were not saved; ask its author",
    )


def test_a_base_model_of_another_kind_is_refused_with_what_peft_says(bodies, tmp_path):
    values = {"task_type": "SEQ_CLS", "r": 4, "target_modules": ["query"]}
    folder = saved(adapted(bodies["bert"], LoraConfig(**values), num_labels=3), tmp_path / "it")
    with pytest.raises(ValueError, match="No modules were targeted") as theirs:
        adapted(bodies["distilbert"], LoraConfig(**values))
    with pytest.raises(FormatError) as error:
        opened(PEFT, folder, labels=NAMES, backbone=str(bodies["distilbert"]))
    refused(
        error,
        f"{folder / 'adapter_config.json'}: PEFT cannot put it on this "
        f"DistilBertForSequenceClassification: {' '.join(str(theirs.value).split())[:200]}",
        "check that it is the base model that the adapter was trained on",
    )


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        (
            {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
            ": auto_mapping is set, and no downloaded file chooses what is imported or opened",
            "ask its author for an adapter without it",
        ),
        (
            {"peft_type": "XLORA"},
            ": adapters of the kind XLORA are not read",
            "did you mean 'LORA'?; read are BOFT, HRA, IA3, LN_TUNING, LOHA, LOKR, LORA, OFT, "
            "PREFIX_TUNING, PROMPT_TUNING, P_TUNING, VERA",
        ),
        (
            {"task_type": "CAUSAL_LM"},
            ": it was trained for CAUSAL_LM, and what is served here are SEQ_CLS, and "
            "FEATURE_EXTRACTION with a head",
            "use an adapter for one label, several labels or a number for a text",
        ),
        (
            {"use_qalora": True, "layer_replication": [[0, 2]]},
            ": it needs layer_replication, use_qalora, which is not read here",
            "use it with PEFT itself",
        ),
        (
            {"init_lora_weights": "pissa"},
            ": init_lora_weights = 'pissa' changed the base model's own weights, which are not in "
            "this repository",
            "ask its author to convert the adapter to a plain one, as PEFT describes",
        ),
        (
            {"init_lora_weights": ["pissa"]},
            ": init_lora_weights = ['pissa'] changed the base model's own weights, which are not "
            "in this repository",
            "ask its author to convert the adapter to a plain one, as PEFT describes",
        ),
        ({"lora_alpha": 10**6}, ": lora_alpha = 1000000, which no adapter needs", STRANGER),
        (
            {"r": 90000},
            ": r = 90000, but no tensor of adapter_model.safetensors is that large",
            "fetch both files again",
        ),
        (
            {"rank_pattern": {"query": 5000}},
            ": query = 5000, but no tensor of adapter_model.safetensors is that large",
            "fetch both files again",
        ),
    ],
)
def test_an_adapter_that_cannot_be_trusted_is_refused(adapter, bodies, values, message, hint):
    change(adapter, "adapter_config.json", **values)
    with pytest.raises((FormatError, IntegrityError)) as error:
        opened(PEFT, adapter, labels=NAMES, backbone=str(bodies["bert"]))
    refused(error, f"{adapter / 'adapter_config.json'}{message}", hint)


def test_a_prompt_of_another_size_than_its_tensor_is_refused(bodies, tmp_path):
    config = PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)
    folder = saved(adapted(bodies["bert"], config, num_labels=3), tmp_path / "adapter")
    change(folder, "adapter_config.json", num_virtual_tokens=5000)
    with pytest.raises(IntegrityError) as error:
        opened(PEFT, folder, labels=NAMES, backbone=str(bodies["bert"]))
    refused(
        error,
        f"{folder / 'adapter_config.json'}: num_virtual_tokens, token_dim and "
        "num_transformer_submodules are [5000, 32, 1], but prompt_embeddings is of shape "
        "[4, 32]",
        "fetch both files again",
    )


def test_weights_that_can_run_code_are_never_fallen_back_to(adapter, bodies):
    weights = load_file(adapter / "adapter_model.safetensors")
    torch.save(weights, adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(FormatError) as error:
        opened(PEFT, adapter, labels=NAMES, backbone=str(bodies["bert"]))
    refused(
        error,
        "the weights are in adapter_model.bin, and a file of that kind can run code when it is "
        "opened, so it is not read",
        "ask its author to publish safetensors, or convert it with the library that wrote it",
    )


def test_a_configuration_without_weights_is_told_with_what_is_there():
    with pytest.raises(FormatError) as error:
        reader_for({"adapter_config.json": 1, "adapters.safetensors": 2})
    refused(
        error,
        "there is adapter_config.json, but no adapter_model.safetensors; it holds "
        "'adapter_config.json', 'adapters.safetensors'",
        "ask its author for an adapter in the format of PEFT, with safetensors",
    )


def test_the_tokenizer_that_an_adapter_brings_is_used(adapter, lora, bodies):
    tinymodels.tokenizer("bert").save_pretrained(adapter)
    assert "tokenizer.json" in reader_for(listing(adapter))[1]
    predictor = opened(PEFT, adapter, labels=NAMES, backbone=str(bodies["bert"]))
    close(scores(predictor), lora[1])
