"""The contract, proven by toys: build, train, save, fresh load, and resume to the same bits.

Every artifact of this file is loaded by one fresh process, with another seed and no data.
"""

import json

import pytest
import torch
import toydata
from safetensors.torch import load_file

import hub_core
from hub_core.errors import BaseMismatchError, IntegrityError
from hub_core.extract import extract
from hub_core.proof import check_in_fresh_process

CASES = {
    "lp-ft": {"strategies": ["toy-lp-ft"], "epochs": 6},
    "gradual": {"strategies": ["full", "toy-gradual"], "learning_rate": 1e-2},
    "gradual-lora": {"strategies": ["lora", "toy-gradual"], "learning_rate": 1e-2},
    "low-rank-optimizer": {"strategies": ["full", "toy-low-rank-optimizer"]},
    "range": {"strategies": ["full", "toy-range"], "learning_rate": 1e-2, "epochs": 4},
    "pairs": {"strategies": ["full", "toy-pairs"], "learning_rate": 1e-2},
    "shrink": {"strategies": ["full"], "compressors": ["toy-shrink"]},
    "shrink-lora": {"strategies": ["lora"], "compressors": ["toy-shrink", "quantize-int8"]},
    "prefix": {"strategies": ["toy-prefix"], "epochs": 3},
    "mask": {"strategies": ["full"], "compressors": ["toy-mask"]},
    "mask-lora": {"strategies": ["lora"], "compressors": ["toy-mask", "quantize-int8"],
                  "learning_rate": 3e-2, "epochs": 4},
    "tags": {"head": "toy-tags", "strategies": ["lora"], "learning_rate": 1e-2},
    "generate": {"backbone": "toy-decoder", "head": "toy-generate", "strategies": ["full"],
                 "learning_rate": 1e-2, "epochs": 6},
    "generate-prefix": {"backbone": "toy-decoder", "head": "toy-generate",
                        "strategies": ["toy-prefix"]},
    "encoder-only": {"strategies": ["encoder-only"], "epochs": 3},
}  # fmt: skip


class Killed(BaseException):
    """What a power cut looks like from inside."""


def run(folder, values, data, *, kill_at=0, resume=False, catalog=None):
    def report(event, figures):
        if event == "step" and figures["step"] == kill_at:
            raise Killed

    return hub_core.train(values, data, out=folder, report=report, resume=resume, prove=False)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory, teacher):
    """All toys, trained straight and after a kill; the folder of each."""
    root = tmp_path_factory.mktemp("toys")
    for name, case in CASES.items():
        _both_ways(
            root / name, toydata.recipe(**case), toydata.DATA[case.get("head", "classification")]()
        )
    distilled = toydata.recipe(
        backbone="toy-bilstm",
        strategies=["full"],
        compressors=[{"name": "toy-distill", "teacher": str(teacher)}],
        learning_rate=3e-3,
    )
    _both_ways(root / "distill", distilled, toydata.labelled())
    return root


def _both_ways(folder, values, data):
    straight = run(folder, values, data)
    killed = folder.with_name(folder.name + "-killed")
    values["training"]["checkpoint_steps"] = 2
    with pytest.raises(Killed):
        run(killed, values, data, kill_at=5)
    torch.manual_seed(99)  # a resumed process has other random numbers behind it
    resumed = run(killed, values, data, resume=True)
    assert resumed.history == straight.history


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "it"
    values = toydata.recipe(strategies=["full"], learning_rate=3e-3, epochs=4)
    hub_core.train(values, toydata.labelled(), out=folder, prove=False)
    return folder


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "both"
    values = toydata.recipe(strategies=["lora", "toy-alternate"], learning_rate=1e-2)
    values["tasks"] = {"mood": {"head": "classification"}, "topic": {"head": "classification"}}
    data = {"mood": toydata.labelled(), "topic": toydata.topics(40)}
    hub_core.train(values, data, out=folder, prove=False)
    return folder


@pytest.fixture(scope="module")
def findings(artifacts, two_tasks):
    alone = two_tasks.with_name("topic-alone")
    extract(two_tasks, "topic", alone, prove=False)
    folders = [p for p in sorted(artifacts.iterdir()) if (p / "hub.json").is_file()]
    folders += [two_tasks, alone]
    return dict(zip((f.name for f in folders), check_in_fresh_process(folders), strict=True))


NAMES = [*CASES, "distill"]


@pytest.mark.parametrize("name", [*NAMES, *(f"{n}-killed" for n in NAMES), "both", "topic-alone"])
def test_a_fresh_process_without_data_gives_the_same_outputs(findings, name):
    assert findings[name].get("error") is None
    assert findings[name]["difference"] <= 1e-5
    assert findings[name]["same"]


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_resumes_to_the_same_bits(artifacts, name):
    straight, resumed = (
        json.loads((artifacts / folder / "hub.json").read_text())
        for folder in (name, f"{name}-killed")
    )
    tensors = [f for f in straight["files"] if f.endswith(".safetensors")]
    assert tensors
    for file in tensors:
        assert straight["files"][file]["sha256"] == resumed["files"][file]["sha256"], file
    assert [m["state"] for m in straight["methods"]] == [m["state"] for m in resumed["methods"]]


@pytest.mark.parametrize("name", ["range", "mask-lora", "generate", "gradual", "lp-ft"])
def test_toys_learn_their_task(artifacts, name):
    [task] = json.loads((artifacts / name / "hub.json").read_text())["tasks"].values()
    [metric] = [m for m in ("accuracy", "exact") if m in task["metrics"]["validation"]]
    assert task["metrics"]["validation"][metric] >= 0.8


def test_a_range_is_restored_to_the_one_of_the_best_epoch(artifacts):
    lines = (artifacts / "range.run" / "train.jsonl").read_text().splitlines()
    scores = [json.loads(line)["validation"]["main"]["accuracy"] for line in lines]
    grown = sum(score > max(scores[:i], default=-1) for i, score in enumerate(scores))
    cap = hub_core.load(artifacts / "range").model.heads["main"].cap
    assert float(cap) == pytest.approx(1.5 ** (grown - 1))


def test_stages_have_their_own_rates():
    seen = {}
    values = toydata.recipe(strategies=["toy-lp-ft"], epochs=4, warmup=0)
    hub_core.train(values, toydata.labelled(), report=lambda event, figures: seen.setdefault(
        figures["stage"], figures["rate"]) if event == "step" else None)  # fmt: skip
    assert seen == {"probe": pytest.approx(1e-2), "tune": pytest.approx(1e-3)}


def test_a_structural_pruner_makes_the_artifact_smaller(artifacts):
    stored = load_file(artifacts / "shrink" / "whole.safetensors")
    assert stored["backbone.body.layer.1.up.weight"].shape == (32, 32)  # from (64, 32)
    assert stored["backbone.body.layer.1.down.weight"].shape == (32, 32)  # from (32, 64)


def test_a_mask_leaves_half_of_the_weights_at_zero(artifacts):
    model = hub_core.load(artifacts / "mask").model
    for _, linear in model.linears("up"):
        assert float((linear.weight == 0).float().mean()) == pytest.approx(0.5, abs=0.01)


def test_a_task_that_was_taken_out_predicts_as_it_did_in_company(two_tasks, findings):
    both, alone = hub_core.load(two_tasks), hub_core.load(two_tasks.with_name("topic-alone"))
    texts = [row["text"] for row in toydata.topics(10, seed=7)]
    assert both.predict(texts, task="topic") == alone.predict(texts)
    assert set(alone.tasks) == {"topic"}
    assert not (alone.folder / "head.mood.safetensors").exists()


def test_a_generated_text_goes_through_the_prefix(artifacts):
    predictor = hub_core.load(artifacts / "generate-prefix")
    seen = []
    wrapped = predictor.model.get_submodule("backbone.body")
    wrapped.register_forward_hook(lambda *_: seen.append(1))
    predictor.predict([{"text": "A A", "answer": "A A"}])
    assert len(seen) > 1


def test_another_backbone_is_refused(artifacts, tmp_path):
    manifest = json.loads((artifacts / "tags" / "hub.json").read_text())
    manifest["recipe"]["backbone"]["seed"] = 1
    for file in (artifacts / "tags").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "hub.json").write_text(json.dumps(manifest))
    with pytest.raises(BaseMismatchError):
        hub_core.load(tmp_path)


def test_a_tensor_that_is_not_listed_is_refused(artifacts, tmp_path):
    manifest = json.loads((artifacts / "tags" / "hub.json").read_text())
    manifest["tensors"].remove("heads.main.output.bias")
    for file in (artifacts / "tags").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "hub.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"unexpected: heads\.main\.output\.bias"):
        hub_core.load(tmp_path)
