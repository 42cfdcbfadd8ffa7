"""Training starts from a trained artifact: with its values, or it is refused with a sentence.

Every artifact that such a run saves is loaded by one fresh process, without data.
"""

import json
import shutil

import pytest
import tinymodels
import torch
import toydata
from safetensors.torch import load_file
from test_cli import printed, run

import hub_core
from hub_core.catalog import installed
from hub_core.cli.flags import Flags, overlay
from hub_core.errors import (
    BaseMismatchError,
    DataError,
    FormatError,
    IncompatibleError,
    IntegrityError,
    RecipeError,
    TrainingError,
)
from hub_core.evaluate import Predictor
from hub_core.extract import extract
from hub_core.identity import sha256_of
from hub_core.origin import Origin
from hub_core.part import Context
from hub_core.proof import check_in_fresh_process
from hub_core.start import start_from

FIRST = {
    "lora": {"strategies": ["lora"]},
    "lora-int8": {"strategies": ["lora"], "compressors": ["quantize-int8"]},
    "lora-pruned": {"strategies": ["lora"], "compressors": ["prune-magnitude"]},
    "lora-shrunk": {"strategies": ["lora"], "compressors": ["toy-shrink"]},
    "lora-mask": {"strategies": ["lora"], "compressors": ["toy-mask"]},
    "full": {"strategies": ["full"]},
    "full-int8": {"strategies": ["full"], "compressors": ["quantize-int8"]},
    "full-pruned": {"strategies": ["full"], "compressors": ["prune-magnitude"]},
    "full-shrunk": {"strategies": ["full"], "compressors": ["toy-shrink"]},
    "range": {"strategies": ["full", "toy-range"]},
    "head": {"strategies": ["head-only"]},
    "top": {"strategies": [{"name": "top-layers", "layers": 1}]},
    "prefix": {"strategies": ["toy-prefix"]},
    "bilstm": {"backbone": "toy-bilstm", "strategies": ["full"]},
    "tags": {"head": "toy-tags", "strategies": ["lora"]},
    "scores": {"head": "regression", "strategies": ["lora"]},
    "text": {"backbone": "toy-decoder", "head": "toy-generate", "strategies": ["full"]},
}
BERT = {"bert-lora": {"strategies": ["lora"]}, "bert-full": {"strategies": ["full"]}}

GOES_ON = {name: (name, {}) for name in FIRST if name not in ("full-int8",)} | {
    "bert-lora": ("bert-lora", {}),
    "bert-full": ("bert-full", {}),
    "lora-then-int8": ("lora", {"compressors": ["quantize-int8"]}),
    "int8-left-out": ("lora-int8", {"compressors": []}),
    "full-then-pruned": ("full", {"compressors": ["prune-magnitude"]}),
}  # fmt: skip
BEGINS = {
    "lora-full": ("lora", {"strategies": ["full"]}),
    "lora-other-lora": ("lora", {"strategies": [{"name": "lora", "r": 2, "targets": ["query"]}]}),
    "lora-head": ("lora", {"strategies": ["head-only"]}),
    "lora-pruned-full": ("lora-pruned", {"strategies": ["full"], "compressors": []}),
    "lora-mask-full": ("lora-mask", {"strategies": ["full"], "compressors": []}),
    "lora-prefix": ("lora", {"strategies": ["toy-prefix"]}),
    "full-lora": ("full", {"strategies": ["lora"]}),
    "full-head": ("full", {"strategies": ["head-only"]}),
    "full-lora-shrunk": ("full", {"strategies": ["lora"], "compressors": ["toy-shrink"]}),
    "full-range": ("full", {"strategies": ["full", "toy-range"]}),
    "head-lora": ("head", {"strategies": ["lora"]}),
    "top-lora": ("top", {"strategies": ["lora"]}),
    "bilstm-head": ("bilstm", {"strategies": ["head-only"]}),
    "scores-full": ("scores", {"strategies": ["full"]}),
    "bert-lora-full": ("bert-lora", {"strategies": ["full"]}),
    "bert-full-lora": ("bert-full", {"strategies": ["lora"]}),
    "bert-lora-other-lora": ("bert-lora", {"strategies": [{"name": "lora", "r": 2}]}),
}
OTHER_AT_ONCE = {"int8-left-out", "lora-then-int8", "full-then-pruned", "full-lora-shrunk",
                 "full-range", "lora-prefix"}  # fmt: skip
"""Served before the first step, these are other models: compressors or new modules change them."""
ALL = GOES_ON | BEGINS


class Killed(BaseException):
    """What a power cut looks like from inside."""


def rows_of(folder, count=64, seed=9):
    """New data for an artifact."""
    manifest = json.loads((folder / "hub.json").read_text())
    [task] = manifest["recipe"]["tasks"].values()
    return toydata.DATA[task["head"]["name"].rpartition(":")[2]](count, seed)


def begun(folder, values=None, data=None, **flags):
    """Return what a run would train, before its first step, and how it starts."""
    start = start_from(folder, values or {}, installed(), **flags)
    blueprint, found, ctx = start.plan(Context(), rows_of(folder) if data is None else data)
    tasks = [task_data.task for task_data in found.values()]
    built = start.assemble(blueprint, tasks, ctx)
    for name, task_data in found.items():
        built.model.head(name).observe(task_data.splits["train"])
    start.fill_heads(built)
    return built, tasks, start


def served(built, tasks):
    built.finalize()
    return Predictor(built.model, tasks)


def inputs(folder):
    """Examples as ``predict`` takes them."""
    known = ("text", "tokens")
    return [{k: v for k, v in row.items() if k in known} for row in rows_of(folder, 12, 4)]


@pytest.fixture(scope="module")
def firsts(tmp_path_factory):
    """Trained artifacts to start from, and the tiny BERT that some of them need."""
    root = tmp_path_factory.mktemp("firsts")
    bert = tinymodels.save("bert", root / "backbones" / "bert")
    for name, case in FIRST.items():
        data = toydata.DATA[case.get("head", "classification")](48)
        values = toydata.recipe(**{"learning_rate": 1e-2, "epochs": 1, **case})
        hub_core.train(values, data, out=root / name, prove=False)
    for name, case in BERT.items():
        values = tinymodels.recipe(bert, learning_rate=1e-2, epochs=1, **case)
        hub_core.train(values, toydata.labelled(48), out=root / name, prove=False)
    return root


@pytest.fixture(scope="module")
def seconds(firsts, tmp_path_factory):
    """What was trained from them, straight and after a kill; the folder of each."""
    root = tmp_path_factory.mktemp("seconds")
    for name, (first, values) in ALL.items():
        train(firsts / first, root / name, values)
    return root


def train(first, out, values=None, data=None, *, kill_at=0, **flags):
    def report(event, figures):
        if event == "step" and figures["step"] == kill_at:
            raise Killed

    data = rows_of(first) if data is None else data
    return hub_core.train(values, data, start=first, out=out, report=report, prove=False, **flags)


@pytest.fixture(scope="module")
def findings(seconds):
    folders = [seconds / name for name in ALL]
    return dict(zip(ALL, check_in_fresh_process(folders), strict=True))


# -- the first values


@pytest.mark.parametrize("name", ALL)
def test_a_run_starts_with_what_the_artifact_gives(firsts, name):
    first, values = ALL[name]
    built, tasks, start = begun(firsts / first, values)
    ways = {True: "goes on with what was trained", False: "begins on its finished weights"}
    assert start.way == ways[name in GOES_ON]
    trained, now = hub_core.load(firsts / first), served(built, tasks)
    if first == "text":
        assert trained.predict(inputs(firsts / first)) == now.predict(inputs(firsts / first))
        return
    if name not in OTHER_AT_ONCE:
        for given in inputs(firsts / first):
            torch.testing.assert_close(
                now.scores([given]), trained.scores([given]), atol=1e-5, rtol=1e-5
            )
    for old, new in zip(trained.predict(inputs(firsts / first)),
                        now.predict(inputs(firsts / first)), strict=True):  # fmt: skip
        if "score" in old and name not in OTHER_AT_ONCE:
            assert new["score"] == pytest.approx(old["score"], abs=1e-4)  # its scale is the old one


@pytest.mark.parametrize("name", ["lora", "prefix", "top", "scores", "lora-shrunk"])
def test_what_goes_on_has_the_same_bits(firsts, name):
    built, _, _ = begun(firsts / name)
    tensors = built.model.state_dict()
    stored = [f for f in (firsts / name).glob("*.safetensors") if "probe" not in f.name]
    assert stored
    for file in stored:
        for key, tensor in load_file(file).items():
            assert torch.equal(tensors[key], tensor), key


def test_decisions_of_equal_parts_are_kept(firsts):
    built, _, _ = begun(firsts / "full-shrunk")
    before = json.loads((firsts / "full-shrunk" / "hub.json").read_text())["methods"][-1]["state"]
    assert built.parts[-1].state_dict() == before


def test_new_parts_decide_on_the_trained_weights(firsts):
    values = {"strategies": ["lora"], "compressors": ["toy-shrink"]}
    built, _, _ = begun(firsts / "full", values)
    weight = load_file(firsts / "full" / "whole.safetensors")["backbone.body.layer.0.up.weight"]
    best = weight.norm(dim=1).topk(len(weight) // 2).indices.sort().values.tolist()
    assert built.parts[-1].kept[0] == best


def test_only_what_is_not_pre_trained_counts_as_touched(firsts):
    built, _, _ = begun(firsts / "lora", {"strategies": ["head-only"]})
    linears = {linear.weight for _, linear in built.model.linears()}
    assert built.touched == linears
    built, _, _ = begun(firsts / "head", {"strategies": ["lora"]})
    assert built.touched == frozenset()


# -- what is saved


@pytest.mark.parametrize("name", ALL)
def test_a_fresh_process_gives_the_same_outputs(findings, name):
    assert findings[name].get("error") is None
    assert findings[name]["difference"] <= 1e-5
    assert findings[name]["same"]


def test_what_a_backbone_lacks_of_the_pre_trained_one_is_saved(seconds):
    forms = {name: json.loads((seconds / name / "hub.json").read_text()) for name in ALL}
    assert forms["lora-full"]["form"] == forms["full-lora"]["form"] == "whole"
    assert forms["head-lora"]["form"] == forms["lora-other-lora"]["form"] == "delta"
    assert "backbone.body.layer.0.up.weight" in forms["lora-other-lora"]["tensors"]
    assert "backbone.body.layer.0.up.bias" not in forms["lora-other-lora"]["tensors"]
    assert (seconds / "bert-lora" / "adapter_model.safetensors").is_file()
    # an adapter beside other weights than the pre-trained ones is none that PEFT can load alone
    assert not (seconds / "bert-lora-other-lora" / "adapter_model.safetensors").exists()
    assert (seconds / "bert-lora-full" / "model.safetensors").is_file()


def test_saving_proves_what_it_saved(firsts, tmp_path):
    data = rows_of(firsts / "bert-lora")
    result = hub_core.train({"strategies": ["full"]}, data, start=firsts / "bert-lora",
                            out=tmp_path / "it")  # fmt: skip
    assert result.manifest.proof.difference <= 1e-5


def test_the_recipe_is_the_artifacts_own_and_names_the_backbone(seconds):
    recipe = json.loads((seconds / "bert-lora" / "hub.json").read_text())["recipe"]
    assert recipe["backbone"] == {"name": "hub-transformers:transformers", "model": "bert"}
    assert recipe["training"]["learning_rate"] == 1e-2
    assert recipe["tasks"]["main"]["labels"] == ["bad", "good"]
    assert [part["name"] for part in recipe["strategies"]] == ["hub-peft:lora"]


# -- killed and resumed


@pytest.mark.parametrize("name", ["lora", "lora-full", "full-lora", "full-lora-shrunk", "range"])
def test_a_killed_run_resumes_to_the_same_bits(firsts, seconds, tmp_path, name):
    first, values = ALL[name]
    values = {**values, "training": {"checkpoint_steps": 2}}
    with pytest.raises(Killed):
        train(firsts / first, tmp_path / "it", values, kill_at=5)
    torch.manual_seed(99)
    train(firsts / first, tmp_path / "it", values, resume=True)
    straight, resumed = (
        json.loads((folder / "hub.json").read_text())
        for folder in (seconds / name, tmp_path / "it")
    )
    tensors = [file for file in straight["files"] if file.endswith(".safetensors")]
    assert tensors
    for file in tensors:
        assert straight["files"][file]["sha256"] == resumed["files"][file]["sha256"], file
    assert straight["lineage"] == resumed["lineage"]


def test_a_run_is_resumed_only_from_where_it_started(firsts, tmp_path):
    out, settings = tmp_path / "it", {"training": {"checkpoint_steps": 2}}
    with pytest.raises(Killed):
        train(firsts / "lora", out, settings, kill_at=5)
    other = shutil.copytree(firsts / "lora", tmp_path / "other")
    manifest = json.loads((other / "hub.json").read_text())
    (other / "hub.json").write_text(json.dumps(manifest | {"seconds": 7.0}))
    with pytest.raises(TrainingError) as caught:
        train(other, out, settings, resume=True)
    before, now = sha256_of(firsts / "lora" / "hub.json"), sha256_of(other / "hub.json")
    assert caught.value.message == (
        f'{out}.run was trained with another recipe:\n  - start.hub.json was "{before}", is "{now}"'
    )


# -- labels and heads

NEUTRAL = [{"text": f"{row['text']} it", "label": "neutral"} for row in toydata.labelled(24, 3)]
AND_ODD = [{"text": f"{row['text']} a a", "label": "alien"} for row in toydata.labelled(24, 6)]


@pytest.mark.parametrize("change", [{}, {"strategies": ["full"]}])
def test_added_labels_leave_the_old_ones_as_they_were(firsts, change):
    data = toydata.labelled(24) + NEUTRAL + AND_ODD
    built, tasks, _ = begun(firsts / "lora", change, data, add_labels=True)
    assert tasks[0].labels == ("bad", "good", "alien", "neutral")
    head = load_file(firsts / "lora" / "head.main.safetensors")
    output = built.model.head("main").output
    assert torch.equal(output.weight[:2], head["heads.main.output.weight"])
    assert torch.equal(output.bias[:2], head["heads.main.output.bias"])
    assert output.weight[2:].abs().max() < 0.2
    again, *_ = begun(firsts / "lora", change, data, add_labels=True)
    assert torch.equal(output.weight, again.model.head("main").output.weight)
    other, *_ = begun(firsts / "lora", {**change, "training": {"seed": 6}}, data, add_labels=True)
    assert not torch.equal(output.weight[2:], other.model.head("main").output.weight[2:])
    texts = inputs(firsts / "lora")
    before, now = hub_core.load(firsts / "lora"), served(built, tasks)
    torch.testing.assert_close(now.scores(texts)[:, :2], before.scores(texts))


def test_a_wrapped_head_takes_labels_too(firsts):
    built, tasks, _ = begun(firsts / "range", data=toydata.labelled(24) + NEUTRAL, add_labels=True)
    cap = load_file(firsts / "range" / "head.main.safetensors")["heads.main.cap"]
    assert torch.equal(built.model.heads["main"].cap, cap)
    assert built.model.head("main").output.out_features == len(tasks[0].labels) == 3


def test_added_labels_are_saved_and_told(firsts, tmp_path):
    data = toydata.labelled(40) + NEUTRAL
    result = hub_core.train(None, data, start=firsts / "lora", add_labels=True, out=tmp_path / "it")
    assert result.manifest.proof.difference <= 1e-5
    assert result.manifest.tasks["main"].labels == ["bad", "good", "neutral"]
    assert result.manifest.recipe["tasks"]["main"]["labels"] == ["bad", "good", "neutral"]
    assert result.manifest.lineage[-1]["added_labels"] == {"main": ["neutral"]}


def test_a_head_of_many_labels_takes_more(tmp_path):
    data = [{"text": row["text"], "labels": [row["label"]]} for row in toydata.labelled(24)]
    values = toydata.recipe(head="multi-label", strategies=["head-only"], epochs=1)
    hub_core.train(values, data, out=tmp_path / "it", prove=False)
    more = [*data, *({"text": row["text"], "labels": ["good", "neutral"]} for row in NEUTRAL)]
    built, _, _ = begun(tmp_path / "it", data=more, add_labels=True)
    old = load_file(tmp_path / "it" / "head.main.safetensors")["heads.main.output.weight"]
    weight = built.model.head("main").output.weight
    assert weight.shape == (3, 32)
    assert torch.equal(weight[:2], old)


def test_no_new_labels_is_no_error(firsts):
    _, tasks, _ = begun(firsts / "lora", add_labels=True)
    assert tasks[0].labels == ("bad", "good")


def test_data_with_fewer_labels_keep_all_of_them(firsts):
    good = [row for row in toydata.labelled(48) if row["label"] == "good"]
    _, tasks, _ = begun(firsts / "lora", data=good)
    assert tasks[0].labels == ("bad", "good")


def test_an_unknown_label_names_the_ways_out(firsts):
    data = [*toydata.labelled(24), {"text": "a", "label": "goood"}, *NEUTRAL]
    with pytest.raises(DataError) as caught:
        begun(firsts / "lora", data=data)
    assert caught.value.message == (
        f"task main: the data have labels that {firsts / 'lora'} does not know:\n"
        "  - 'goood'; did you mean 'good'?\n"
        "  - 'neutral'"
    )
    assert caught.value.hint == (
        "--add-labels adds them to its own, --new-head starts with a new head"
    )


def test_a_head_that_cannot_grow_says_so(firsts):
    data = [*toydata.tagged(24), {"tokens": ["a"], "tags": ["new"]}]
    with pytest.raises(IncompatibleError) as caught:
        begun(firsts / "tags", data=data, add_labels=True)
    assert caught.value.message == (
        "task main: its head cannot take more labels than it was trained with"
    )
    assert caught.value.hint == (
        "start with a new head (--new-head), or leave the new labels out of the data"
    )


@pytest.mark.parametrize("strategy", ["lora", "full"])
def test_a_new_head_begins_on_the_trained_backbone(firsts, tmp_path, strategy):
    values = {"tasks": {"topic": {"head": "classification"}}, "strategies": [strategy]}
    data = toydata.topics(48)
    built, tasks, _ = begun(firsts / "lora", values, data, new_head=True)
    assert (tasks[0].name, tasks[0].labels) == ("topic", ("day", "film", "none"))
    trained = hub_core.load(firsts / "lora")
    now = served(built, tasks)
    rows = trained.model.head("main").features(toydata.labelled(8), trained.model.backbone)
    batch = trained.model.head("main").collate(rows, trained.model.backbone)
    with torch.inference_mode():
        before, after = (m.backbone.encode(batch.inputs).hidden for m in (trained.model, now.model))
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-5)
    result = hub_core.train(values, data, start=firsts / "lora", new_head=True, out=tmp_path / "it")
    assert result.manifest.proof.difference <= 1e-5
    assert list(result.manifest.tasks) == ["topic"]
    assert result.manifest.lineage[-1]["new_head"] is True


@pytest.mark.parametrize("name", ["lora", "full", "full-shrunk", "range"])
def test_a_new_head_may_be_of_the_same_task(firsts, name):
    built, tasks, start = begun(firsts / name, data=toydata.topics(48), new_head=True)
    assert start.way == "goes on with what was trained"
    assert (tasks[0].name, len(tasks[0].labels)) == ("main", 3)
    old = hub_core.load(firsts / name).model.head("main").output.weight
    assert not torch.equal(built.model.head("main").output.weight[:2], old)


def test_one_task_of_several_goes_on(tmp_path):
    values = toydata.recipe(strategies=["lora"], epochs=1)
    values["tasks"] = {"mood": {"head": "classification"}, "topic": {"head": "classification"}}
    data = {"mood": toydata.labelled(32), "topic": toydata.topics(32)}
    hub_core.train(values, data, out=tmp_path / "both", prove=False)
    extract(tmp_path / "both", "topic", tmp_path / "topic", prove=False)
    result = hub_core.train(None, toydata.topics(32), start=tmp_path / "topic", prove=False,
                            out=tmp_path / "on")  # fmt: skip
    steps = [step["step"] for step in result.manifest.lineage]
    assert steps == ["extract", "train"]
    _, tasks, _ = begun(tmp_path / "both", data=data)
    assert [task.name for task in tasks] == ["mood", "topic"]


# -- what is refused

REFUSED = {
    "quantized": (
        "full-int8", {},
        "{first} cannot be started from with these parts: finished, it is not the plain backbone "
        "that it began with:\n"
        "  - backbone.body.layer.0.down.weight is gone\n"
        "  - backbone.body.layer.0.key.weight is gone\n"
        "  - backbone.body.layer.0.out.weight is gone\n"
        "  - backbone.body.layer.0.query.weight is gone\n"
        "  - backbone.body.layer.0.up.weight is gone\n"
        "  - and 31 more",
        "start from an artifact that was trained without what does this; it has full, "
        "quantize-int8",
    ),
    "quantized-lora-to-full": (
        "lora-int8", {"strategies": ["full"]},
        None,
        "keep its strategies and compressors (lora, quantize-int8), or start from an artifact "
        "that was trained without what does this",
    ),
    "shrunk": (
        "full-shrunk", {"compressors": []},
        "{first} cannot be started from with these parts: finished, it is not the plain backbone "
        "that it began with:\n"
        "  - backbone.body.layer.0.down.weight has shape [32, 32], not [32, 64]\n"
        "  - backbone.body.layer.0.up.bias has shape [32], not [64]\n"
        "  - backbone.body.layer.0.up.weight has shape [32, 32], not [64, 32]\n"
        "  - backbone.body.layer.1.down.weight has shape [32, 32], not [32, 64]\n"
        "  - backbone.body.layer.1.up.bias has shape [32], not [64]\n"
        "  - and 1 more",
        "start from an artifact that was trained without what does this; it has full, toy-shrink",
    ),
    "shrunk-lora-to-full": (
        "lora-shrunk", {"strategies": ["full"]},
        None,
        "keep its strategies and compressors (lora, toy-shrink), or start from an artifact that "
        "was trained without what does this",
    ),
    "prefix-to-lora": (
        "prefix", {"strategies": ["lora"]},
        None,
        "keep its strategies and compressors (toy-prefix), or start from an artifact that was "
        "trained without what does this",
    ),
    "range-to-lora": (
        "range", {"strategies": ["lora"]},
        "{first} cannot be started from with these parts: the head of task main has other "
        "tensors:\n"
        "  - heads.main.output.bias is gone\n"
        "  - heads.main.output.weight is gone\n"
        "  - heads.main.pooling is gone\n"
        "  - heads.main.base_layer.output.bias is more than it has\n"
        "  - heads.main.base_layer.output.weight is more than it has\n"
        "  - and 2 more",
        "keep its strategies and compressors, or start with new heads for other tasks or labels: "
        "--new-head",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("use", [hub_core.train, hub_core.dry_run])
def test_what_cannot_go_on_is_refused_before_training(firsts, name, use):
    first, values, message, hint = REFUSED[name]
    with pytest.raises(IncompatibleError) as caught:
        use(values, rows_of(firsts / first), start=firsts / first)
    if message is not None:
        assert caught.value.message == message.format(first=firsts / first)
    assert caught.value.hint == hint


NEW_HEAD = "start with new heads for other tasks or labels: --new-head"
OTHER_HEADS = {
    "method": ({"tasks": {"main": {"head": "toy-tags"}}},
               "task main: its head was classification, is toy-tags"),
    "labels": ({"tasks": {"main": {"labels": ["good", "bad"]}}},
               "task main: its labels were bad, good, are good, bad"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_HEADS)
def test_another_head_or_other_labels_need_a_new_head(firsts, name):
    values, problem = OTHER_HEADS[name]
    with pytest.raises(RecipeError) as caught:
        begun(firsts / "lora", values)
    assert caught.value.message == (
        f"{firsts / 'lora'} has other heads than the recipe:\n  - {problem}"
    )
    assert caught.value.hint == NEW_HEAD


def test_other_options_of_the_head_are_followed(firsts):
    head = {"name": "classification", "pooling": "last", "dropout": 0.0}
    built, _, _ = begun(firsts / "lora", {"tasks": {"main": {"head": head}}})
    same, _, _ = begun(firsts / "lora")
    before, now = (it.model.head("main").state_dict() for it in (same, built))
    assert {k for k in now if not torch.equal(now[k], before[k])} == {"pooling"}
    assert built.model.head("main").dropout.p == 0.0


def test_another_task_needs_a_new_head(firsts):
    with pytest.raises(RecipeError) as caught:
        begun(firsts / "lora", {"tasks": {"topic": {"head": "classification"}}})
    assert caught.value.message == f"{firsts / 'lora'} has no task 'topic'; it has main"
    assert caught.value.hint == NEW_HEAD


def test_another_backbone_is_refused(firsts, tmp_path):
    with pytest.raises(BaseMismatchError, match="another toy"):
        begun(firsts / "lora", {"backbone": {"name": "toy-encoder", "seed": 1}})
    with pytest.raises(BaseMismatchError) as caught:
        begun(firsts / "lora", {"backbone": "toy-bilstm"})
    assert caught.value.message == (
        f"{firsts / 'lora'} was trained on the backbone hub-toys:toy-encoder, the recipe names "
        "hub-toys:toy-bilstm"
    )
    assert caught.value.hint == "leave the backbone out: it is found by its fingerprint"
    other = tinymodels.save("bert", tmp_path / "other", seed=1)
    with pytest.raises(BaseMismatchError, match="other is not the backbone of this artifact: "):
        begun(firsts / "bert-lora", {"backbone": {"name": "transformers", "model": str(other)}})


def test_the_backbone_may_be_somewhere_else(firsts, tmp_path, monkeypatch):
    moved = shutil.copytree(firsts / "backbones" / "bert", tmp_path / "moved" / "bert")
    monkeypatch.setenv("HUB_CORE_CACHE", str(tmp_path / "cache"))
    first = firsts / "bert-lora"
    with pytest.raises(BaseMismatchError, match="was not found on this machine"):
        begun(first)
    place = {"backbone": {"name": "transformers", "model": str(moved)}}
    built, _, _ = begun(first, place)
    assert built.model.backbone.identity.name == "bert"
    origin = Origin.open(first)
    flags = Flags(backbone=str(moved))
    assert overlay(origin.laid_over({}, installed()), flags, installed())["backbone"] == {
        "name": "transformers", "model": str(moved)
    }  # fmt: skip
    built, _, _ = begun(first)  # it is remembered
    assert built.touched == frozenset()


def test_what_is_no_artifact_is_refused(firsts, tmp_path):
    cases = {
        str(tmp_path): f"{tmp_path} is no artifact: it has no hub.json",
        "no-such-folder": "there is no folder no-such-folder",
    }
    for reference, message in cases.items():
        with pytest.raises(FormatError) as caught:
            hub_core.train(None, toydata.labelled(8), start=reference)
        assert caught.value.message == message
        assert caught.value.hint
    damaged = shutil.copytree(firsts / "lora", tmp_path / "damaged")
    (damaged / "delta.safetensors").write_bytes(b"0")
    with pytest.raises(IntegrityError, match=r"delta\.safetensors has 1 bytes"):
        hub_core.train(None, toydata.labelled(8), start=damaged)


def test_flags_that_need_an_artifact_say_so(firsts):
    with pytest.raises(RecipeError, match=r"^there is no recipe$"):
        hub_core.train(None, toydata.labelled(8))
    with pytest.raises(RecipeError) as caught:
        hub_core.train(toydata.recipe(), toydata.labelled(8), new_head=True)
    assert caught.value.message == (
        "--new-head and --add-labels say how to start from an artifact, and there is none"
    )
    with pytest.raises(RecipeError, match=r"^--new-head and --add-labels exclude each other$"):
        begun(firsts / "lora", new_head=True, add_labels=True)


def test_a_rate_that_was_chosen_for_other_strategies_is_told(firsts, caplog):
    begun(firsts / "lora", {"strategies": ["full"]})
    assert caplog.messages == [
        "the learning rate 0.01 was chosen for the strategies of lora; --learning-rate gives "
        "these another"
    ]
    caplog.clear()
    begun(firsts / "lora", {"strategies": ["full"], "training": {"learning_rate": 1e-4}})
    begun(firsts / "lora")
    assert caplog.messages == []


# -- lineage


def test_lineage_has_every_generation_and_no_place(firsts, tmp_path):
    train(firsts / "lora", tmp_path / "second")
    last = train(tmp_path / "second", tmp_path / "third", {"strategies": ["full"]})
    first, second = last.manifest.lineage
    assert [step["step"] for step in (first, second)] == ["train", "train"]
    assert first["from"]["name"] == "lora"
    assert first["from"]["hub.json"] == sha256_of(firsts / "lora" / "hub.json")
    assert second["from"]["hub.json"] == sha256_of(tmp_path / "second" / "hub.json")
    assert second["from"]["strategies"] == ["lora"]
    assert second["from"]["tasks"]["main"]["labels"] == ["bad", "good"]
    assert "accuracy" in second["from"]["tasks"]["main"]["metrics"]["validation"]
    assert str(tmp_path) not in json.dumps(last.manifest.lineage)
    told = printed("inspect", tmp_path / "third").split("\n\n")[-1].splitlines()
    assert told[0].split() == ["lineage", "of", "what", "it", "was"]
    assert told[1].split() == ["train", "lora", first["from"]["hub.json"][:16], "lora"]
    assert told[2].split()[:4] == ["main", "classification", "validation", "accuracy"]
    assert told[3].split() == ["train", "second", second["from"]["hub.json"][:16], "lora"]


# -- the sketch and the command line


@pytest.mark.parametrize("name", ["lora", "lora-full", "full-lora", "lora-other-lora",
                                  "bert-lora", "bert-lora-full", "bert-full-lora",
                                  "bert-lora-other-lora"])  # fmt: skip
def test_a_dry_run_knows_the_files(firsts, seconds, name):
    first, values = ALL[name]
    sketch = hub_core.dry_run(values, rows_of(firsts / first), start=firsts / first)
    assert list(sketch.files) == sorted(path.name for path in (seconds / name).iterdir())
    assert sketch.start["from"] == first
    assert sketch.start["hub.json"] == sha256_of(firsts / first / "hub.json")


@pytest.fixture(scope="module")
def folder(firsts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    shutil.copytree(firsts / "lora", folder / "first")
    for name, rows in (("mood", toydata.labelled(48)), ("more", toydata.labelled(40) + NEUTRAL),
                       ("topic", toydata.topics(48))):  # fmt: skip
        lines = [f"{row['text']},{row['label']}" for row in rows]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return folder


def test_the_command_goes_on(folder):
    done = run("train", "--from", "first", "--data", "mood.csv", "--out", "on", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "\nstarting from first: goes on with what was trained\n" in done.stderr
    assert "what it was" in printed("inspect", "on", cwd=folder)


def test_the_command_tells_what_it_would_start_from(folder):
    line = ["train", "--from", "first", "--data", "more.csv", "--add-labels", "--dry-run"]
    told = printed(*line, cwd=folder).splitlines()
    sha256 = sha256_of(folder / "first" / "hub.json")
    assert " ".join(told[0].split()) == (
        f"from first (hub.json {sha256[:16]}…): goes on with what was trained; "
        "new labels of main: neutral"
    )
    values = json.loads(printed(*line, "--json", "--strategy", "head-only", cwd=folder))
    assert values["trained"] == 32 * 3 + 3
    assert values["start"]["way"] == "begins on its finished weights"


def test_flags_and_a_recipe_are_laid_over_the_artifacts_own(folder):
    (folder / "over.toml").write_text("[training]\nepochs = 3\nwarmup = 0\n")
    line = ["train", "over.toml", "--from", "first", "--data", "mood.csv", "--set", "lora.r=8",
            "--out", "over", "--epochs", "1"]  # fmt: skip
    printed(*line, cwd=folder)
    recipe = json.loads((folder / "over" / "hub.json").read_text())["recipe"]
    training = recipe["training"]
    assert (training["epochs"], training["warmup"], training["batch_examples"]) == (1, 0, 8)
    assert recipe["strategies"] == [{"name": "hub-peft:lora", "r": 8}]


def test_the_command_takes_a_new_head(folder):
    line = ["train", "--from", "first", "--data", "topic.csv", "--out", "topic"]
    done = run(*line, cwd=folder)
    assert done.returncode == 1
    assert "Hint: --add-labels adds them to its own, --new-head starts with a new head" in (
        done.stderr
    )
    printed(*line, "--new-head", "--task", "topic", "--head", "classification", cwd=folder)
    tasks = json.loads((folder / "topic" / "hub.json").read_text())["tasks"]
    assert tasks["topic"]["labels"] == ["day", "film", "none"]


def test_the_command_refuses_flags_without_an_artifact(folder):
    done = run("train", "--data", "mood.csv", "--new-head", "--out", "x", cwd=folder)
    assert done.returncode == 2
    assert "Error: --new-head says how to start from an artifact: --from FOLDER" in done.stderr
    done = run("train", "--from", "gone", "--data", "mood.csv", "--out", "x", cwd=folder)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: there is no folder gone\n"
        "Hint: name a folder that 'hub train' wrote, or owner/name on the Hub\n",
    )


def test_a_step_of_lineage_that_others_wrote_is_only_shown(firsts, tmp_path):
    copy = shutil.copytree(firsts / "lora", tmp_path / "copy")
    values = json.loads((copy / "hub.json").read_text())
    values["lineage"] = [{}, {"step": "merge"}, {"step": "train", "from": {"tasks": {"a": 1}}}]
    (copy / "hub.json").write_text(json.dumps(values))
    told = printed("inspect", copy).splitlines()
    assert [line.split() for line in told[-4:]] == [
        ["None"], ["merge"], ["train", "None", "None"], ["a", "1"]
    ]  # fmt: skip
