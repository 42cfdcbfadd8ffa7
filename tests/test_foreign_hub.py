"""What PEFT and transformers published is inspected, used and measured by its name on the Hub."""

import json
import shutil

import pytest
import sharing
import tinymodels
import torch
from hubs import status
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from sharing import BASE, NAME, hub, lines, refused
from test_pull import cached, commit
from transformers import AutoModel, AutoModelForSequenceClassification

from hub_core.cli import main
from hub_core.remote.snapshot import snapshot

TEXTS = ["a very fine day", "this film was sour and the day was cold", "it"]
LABELS = ("bad", "middling", "good")
FLAGS = [flag for name in LABELS for flag in ("--label", name)]
MODEL, ADAPTER, BODY = "team/three-moods", "team/adapter", "team/body-adapter"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A whole model, an adapter with a head and one without, as the libraries save them."""
    folder = tmp_path_factory.mktemp("foreign")
    base = sharing.trained(tmp_path_factory) / "tiny-bert"
    torch.manual_seed(3)
    names = dict(enumerate(LABELS))
    whole = AutoModelForSequenceClassification.from_pretrained(base, id2label=names)
    moved(whole.classifier)
    whole.save_pretrained(folder / "whole")
    tinymodels.tokenizer("bert").save_pretrained(folder / "whole")
    kinds = {"adapter": (AutoModelForSequenceClassification, "SEQ_CLS", {"num_labels": 3}),
             "body": (AutoModel, "FEATURE_EXTRACTION", {})}  # fmt: skip
    for name, (make, task, values) in kinds.items():
        config = LoraConfig(task_type=task, r=4, target_modules=["query", "value"])
        model = get_peft_model(make.from_pretrained(base, **values), config)
        moved(model)
        model.save_pretrained(folder / name, save_embedding_layers=False)
    return folder


def moved(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))


@pytest.fixture(scope="module")
def served(tmp_path_factory, root):
    """A Hub with all of them; the adapters name their base model at its commit."""
    for server in sharing.serving(tmp_path_factory):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
            server.base = server.api().model_info(BASE).sha
            commit(server, root / "whole", name=MODEL)
            for name, folder in ((ADAPTER, "adapter"), (BODY, "body")):
                commit(server, root / folder, name=name,
                       **{"adapter_config.json": config_of(root / folder, server.base)}
                       )  # fmt: skip
        yield server


@pytest.fixture
def there(served, tmp_path, monkeypatch):
    return sharing.settled(served, tmp_path, monkeypatch)


def config_of(folder, revision, base=BASE):
    """Return an adapter's configuration with another base model."""
    values = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    return json.dumps(values | {"base_model_name_or_path": base, "revision": revision}).encode()


def base_of(server):
    """Return the folder of the base model that everything was made from."""
    return snapshot(BASE, server.base, ["*.json", "*.safetensors"])


def probabilities(capsys, *arguments):
    """Return what ``hub predict`` gives for the texts, (texts, labels)."""
    flags = ["--precision", "fp32", "--json"]
    out, _ = hub(capsys, "predict", *arguments, *TEXTS, *flags)
    found = [json.loads(line)["probabilities"] for line in out.splitlines()]
    assert all(list(one) == list(LABELS) for one in found)
    return torch.tensor([list(one.values()) for one in found])


def theirs(model):
    """Return what the library itself gives for the texts."""
    inputs = tinymodels.tokenizer("bert")(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**inputs)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


# -- a whole model of transformers


def test_a_model_predicts_by_name_what_it_predicts_in_its_library(there, root, capsys):
    model = AutoModelForSequenceClassification.from_pretrained(root / "whole")
    close(probabilities(capsys, MODEL), theirs(model).logits.softmax(1))


def test_a_model_is_inspected_without_its_weights(there, capsys):
    there.app.asked.clear()
    told = json.loads(hub(capsys, "inspect", MODEL, "--json")[0])
    assert told["repository"]["repository"].startswith(f"{MODEL}@")
    assert told["facts"]["labels"] == ", ".join(LABELS)
    fetched = [path.rpartition("/")[2] for _, path, _ in there.app.asked if "/resolve/" in path]
    assert fetched == ["config.json"]


def test_a_model_is_evaluated_by_name(there, capsys, tmp_path):
    out, _ = hub(capsys, "predict", MODEL, *TEXTS, "--json")
    rows = [{"text": one["input"], "label": one["label"]}
            for one in map(json.loads, out.splitlines())]  # fmt: skip
    rows[0]["label"] = next(name for name in LABELS if name != rows[0]["label"])
    data = lines(tmp_path / "data.jsonl", rows)
    told = json.loads(hub(capsys, "evaluate", MODEL, "--data", data, "--json")[0])
    assert told["examples"] == 3
    assert told["metrics"]["accuracy"] == pytest.approx(2 / 3)


def test_labels_that_are_given_are_used(there, capsys):
    out, _ = hub(capsys, "predict", MODEL, "it", "--json", "--label", "a", "--label", "b",
                 "--label", "c")  # fmt: skip
    assert set(json.loads(out)["probabilities"]) == {"a", "b", "c"}
    told = refused(capsys, "predict", MODEL, "it", "--label", "a", "--label", "b")
    assert told.endswith(
        "Error: 2 labels were given, the model has 3 outputs\n"
        "Hint: give one label for each output, in their order\n"
    )


def test_pickled_weights_are_refused_before_they_are_fetched(there, capsys, root):
    config = (root / "whole" / "config.json").read_bytes()
    commit(there, name="team/pickled", **{"config.json": config, "pytorch_model.bin": b"x" * 99})
    there.app.asked.clear()
    for arguments in (["predict", "team/pickled", "it"], ["inspect", "team/pickled"],
                      ["pull", "team/pickled"]):  # fmt: skip
        assert refused(capsys, *arguments) == (
            "Error: the weights are in pytorch_model.bin, and a file of that kind can run code "
            "when it is opened, so it is not read\n"
            "Hint: ask its author to publish safetensors, or convert it with the library that "
            "wrote it\n"
        )
    assert not [path for _, path, _ in there.app.asked if path.endswith(".bin")]
    assert cached() == []


# -- an adapter of PEFT


def test_an_adapter_predicts_by_name_what_it_predicts_in_peft(there, root, capsys):
    base = base_of(there)
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    expected = theirs(PeftModel.from_pretrained(plain, root / "adapter")).logits.softmax(1)
    close(probabilities(capsys, ADAPTER, *FLAGS), expected)
    close(probabilities(capsys, ADAPTER, *FLAGS, "--backbone", BASE), expected)
    close(probabilities(capsys, ADAPTER, *FLAGS, "--backbone", f"{BASE}@{there.base}"), expected)
    close(probabilities(capsys, ADAPTER, *FLAGS, "--backbone", base), expected)


def test_a_base_model_at_a_commit_is_followed_and_its_branch_may_move(there, capsys, root):
    before = probabilities(capsys, ADAPTER, *FLAGS)
    commit(there, name=BASE, **{"note.txt": b"newer"})
    there.app.asked.clear()
    close(probabilities(capsys, ADAPTER, *FLAGS), before)
    assert all(there.base in path for _, path, _ in there.app.asked if BASE in path)


@pytest.mark.parametrize(
    ("base", "revision", "told", "hint"),
    [
        (BASE, "main", "says that its base model is 'team/tiny-bert', but not at which commit, "
         "and what a name means can change",
         "if that is the model you want: --backbone team/tiny-bert"),
        (BASE, None, "says that its base model is 'team/tiny-bert', but not at which commit, "
         "and what a name means can change",
         "if that is the model you want: --backbone team/tiny-bert"),
        ("/srv/model", None, "says that its base model is '/srv/model', which is no owner/name on "
         "the Hub and is never followed",
         "if you know the model and trust it: --backbone NAME-OR-FOLDER"),
        ("", None, "names no base model", "say which it is: --backbone NAME-OR-FOLDER"),
    ],
)  # fmt: skip
def test_a_base_model_that_could_change_is_not_followed(
    there, root, capsys, base, revision, told, hint, tmp_path
):
    name = f"team/{tmp_path.name.replace('_', '').replace('--', '-')[-20:]}"
    commit(there, root / "adapter", name=name,
           **{"adapter_config.json": config_of(root / "adapter", revision, base)})  # fmt: skip
    there.app.asked.clear()
    err = refused(capsys, "predict", name, "it", *FLAGS)
    error, hinted = err.splitlines()[-2:]
    assert error.startswith("Error: ")
    assert error.endswith(f"adapter_config.json {told}")
    assert hinted == f"Hint: {hint}"
    assert not [path for _, path, _ in there.app.asked if BASE in path]


def test_labels_that_nobody_named_must_be_given(there, capsys):
    err = refused(capsys, "predict", ADAPTER, "it")
    assert err.splitlines()[-2].endswith("config.json does not name the labels of its 3 outputs")
    assert err.splitlines()[-1] == (
        "Hint: give them in the order of the outputs: --label NAME --label NAME …"
    )


def test_an_adapter_without_a_head_takes_one_from_a_file(there, root, capsys, tmp_path):
    err = refused(capsys, "predict", BODY, "it", *FLAGS)
    assert err.splitlines()[-1] == (
        "Hint: give one with --head-file FILE: safetensors with weight (labels, width) and bias"
    )
    weight, bias = torch.randn(3, tinymodels.HIDDEN), torch.randn(3)
    save_file({"weight": weight, "bias": bias}, tmp_path / "head.safetensors")
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(base_of(there)), root / "body")
    hidden = theirs(model).last_hidden_state
    inputs = tinymodels.tokenizer("bert")(TEXTS, padding=True, return_tensors="pt")
    mask = inputs["attention_mask"][..., None]
    expected = ((hidden * mask).sum(1) / mask.sum(1) @ weight.T + bias).softmax(1)
    head = ["--head-file", tmp_path / "head.safetensors"]
    close(probabilities(capsys, BODY, *FLAGS, *head), expected)


def test_training_does_not_go_on_with_what_others_wrote(there, capsys, tmp_path):
    data = lines(tmp_path / "data.jsonl", sharing.ROWS)
    for name in (ADAPTER, MODEL):
        assert refused(capsys, "train", "--from", name, "--data", data, "--out", "more") == (
            f"Error: {name} was not saved by hub-core, so it brings no recipe to go on with\n"
            "Hint: name an artifact with --from; a whole model can be a --backbone\n"
        )
    assert not (tmp_path / "more").exists()


# -- the backbone of an artifact


def test_a_backbone_whose_commit_is_gone_is_told(there, capsys):
    there.app.rule("GET", f"/api/models/{BASE}", status(404, {"X-Error-Code": "RevisionNotFound"}))
    there.app.rule("GET", f"/{BASE}/", status(404, {"X-Error-Code": "RevisionNotFound"}))
    err = refused(capsys, "predict", NAME, "it")
    assert err.splitlines()[-2:] == [
        f"Error: {BASE}@{there.base[:12]}: the repository has no such branch, tag or commit",
        "Hint: leave the revision out, or name one that it has",
    ]


def test_a_backbone_whose_repository_is_gone_is_told_and_may_be_elsewhere(there, capsys, root):
    gone = status(404, {"X-Error-Code": "RepoNotFound"})
    there.app.rule("GET", f"/api/models/{BASE}", gone)
    there.app.rule("GET", f"/{BASE}/", gone)
    err = refused(capsys, "predict", NAME, "it")
    assert err.splitlines()[-2] == (
        f"Error: {BASE}@{there.base[:12]} does not exist on the Hub, or is private to others"
    )
    there.app.rules.clear()
    elsewhere = shutil.copytree(base_of(there), "elsewhere")
    there.app.rule("GET", f"/api/models/{BASE}", gone)
    assert main(["predict", NAME, "it", "--backbone", str(elsewhere)]) == 0


def test_a_backbone_with_other_bytes_is_refused(there, capsys, tmp_path):
    other = shutil.copytree(base_of(there), tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] += 1
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    name = "team/moved"
    head = commit(there, other, name=name)
    err = refused(capsys, "predict", NAME, "it", "--backbone", f"{name}@{head}")
    error, hint = err.splitlines()[-2:]
    assert error.startswith(f"Error: {name} is not the backbone of this artifact: its weights have")
    assert hint == "Hint: give the right tiny-bert with --backbone"
