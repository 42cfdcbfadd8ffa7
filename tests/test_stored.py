"""Training on data that are not in memory gives the same bits, and keeps nothing behind."""

import errno
import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
import tinymodels
import torch
import toydata

import hub_core
from hub_core.build import assemble, plan
from hub_core.catalog import installed
from hub_core.data import batches_of, read_table, split_off
from hub_core.errors import DataError, TrainingError
from hub_core.part import Context
from hub_core.recipe import parse
from hub_core.rows import StoredRows
from hub_core.state import load_tensors
from hub_core.stored import Lazy, Picked, Store
from hub_core.tasks import read_data

FILL = " the" * 4000
"""Makes a file of 96 rows larger than a mebibyte; the backbone cuts it off."""


def large(name, rows):
    """Write rows as a file larger than a mebibyte."""
    key = "tokens" if "tokens" in rows[0] else "text"
    filled = [
        row | {"filler": FILL} if key == "tokens" else row | {"text": row["text"] + FILL}
        for row in rows
    ]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in filled))
    return name


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    return tmp_path


@pytest.fixture
def noted(monkeypatch):
    """Note what is stored, so that a test can tell that it ran on disk."""
    stores = []

    def note(self, values, folder=None):
        stores.append(folder)
        usual(self, values, folder)

    usual = Store.__init__
    monkeypatch.setattr(Store, "__init__", note)
    return stores


def recipe(limit, head="classification", data="a.jsonl", **training):
    training = {"strategies": ["full"], "epochs": 2} | training
    values = toydata.recipe(head=head, memory_limit=limit, **training)
    values["tasks"]["main"]["data"] = data
    return values


# -- the same bits


@pytest.mark.parametrize("head", ["classification", "multi-label", "regression", "toy-tags"])
def test_losses_tensors_metrics_and_predictions_are_those_of_a_run_in_memory(
    here, noted, head, monkeypatch
):
    large("a.jsonl", toydata.DATA[head](96))
    monkeypatch.setattr("hub_core.rows.CHUNK", 7)
    found = {}
    for limit in (0, 1):
        result = hub_core.train(recipe(limit, head), out=f"out{limit}", prove=False)
        content = {
            path.name: load_tensors(path) for path in Path(f"out{limit}").glob("*.safetensors")
        }
        found[limit] = (result.history, result.metrics, content, result.manifest.tasks)
        assert bool(noted) is bool(limit)
    inside, outside = found[0], found[1]
    assert inside[:2] == outside[:2]
    assert inside[3] == outside[3]  # labels, sizes and fingerprints of the data
    assert inside[2].keys() == outside[2].keys()
    for name, tensors in inside[2].items():
        for key, tensor in tensors.items():
            assert torch.equal(tensor, outside[2][name][key]), (name, key)


def test_with_frozen_layers_accumulation_and_calibration_it_is_the_same(here, noted):
    large("a.jsonl", toydata.labelled(96))
    runs = [
        hub_core.train(
            recipe(limit, strategies=["lora"], compressors=["quantize-int8"], accumulate=2)
        )
        for limit in (0, 1)
    ]
    assert noted
    assert runs[0].history == runs[1].history
    assert runs[0].metrics == runs[1].metrics


def test_a_run_on_disk_is_resumed_bit_for_bit(here, noted):
    large("a.jsonl", toydata.labelled(96))

    def stop(event, figures):
        if event == "step" and figures["step"] == 14:
            raise InterruptedError

    whole = hub_core.train(recipe(1), out="whole", prove=False)
    with pytest.raises(InterruptedError):
        hub_core.train(recipe(1), out="broken", prove=False, report=stop)
    resumed = hub_core.train(recipe(1), out="broken", prove=False, resume=True)
    assert resumed.history == whole.history
    assert resumed.metrics == whole.metrics
    assert noted


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "folder"])
def test_every_format_can_be_trained_on_from_disk(here, noted, name):
    datasets = pytest.importorskip("datasets")
    rows = [row | {"text": row["text"] + FILL} for row in toydata.labelled(96)]
    for number, row in enumerate(rows):  # what repeats is compressed away
        row["text"] += " ".join(str(number * n % 99_991) for n in range(800))
    dataset = datasets.Dataset.from_list(rows)
    if name == "folder":
        dataset.save_to_disk(name)
    elif name == "a.parquet":
        dataset.to_parquet(name)
    else:
        dataset.to_csv("a.csv", index=False)
        Path("a.csv.gz").write_bytes(gzip.compress(Path("a.csv").read_bytes(), 0))
    runs = [hub_core.train(recipe(limit, data=name, epochs=1)) for limit in (0, 1)]
    assert noted
    assert runs[0].history == runs[1].history


# -- what is in memory


def data_of(values):
    ctx = Context()
    blueprint = plan(parse(values), installed(), ctx)
    found = read_data(blueprint)
    return assemble(blueprint, [found["main"].task], ctx), found["main"]


def test_examples_and_rows_are_lazy_and_made_in_pieces(here, monkeypatch):
    large("a.jsonl", toydata.labelled(96))
    monkeypatch.setattr("hub_core.rows.CHUNK", 10)
    given = []
    built, found = data_of(recipe(1))
    head = built.model.head("main")
    make = type(head).features
    monkeypatch.setattr(
        type(head),
        "features",
        lambda self, examples, backbone: (
            given.append(len(examples)) or make(self, examples, backbone)
        ),
    )
    for split in ("train", "validation", "test"):
        assert isinstance(found.splits[split], Lazy)
    rows = StoredRows(head, found.splits["train"], built.model.backbone)
    assert max(given) == 10
    assert sum(given) == len(rows) == 76
    parts = batches_of(rows, 1024, 8, torch.Generator().manual_seed(0))
    assert all(isinstance(part, Picked) for part in parts)


@pytest.mark.parametrize("head", toydata.DATA)
def test_rows_that_are_read_again_are_equal_to_those_that_were_written(here, head, monkeypatch):
    large("a.jsonl", toydata.DATA[head](96))
    monkeypatch.setattr("hub_core.rows.CHUNK", 10)
    backbone = "toy-decoder" if head == "toy-generate" else "toy-encoder"
    built, found = data_of(recipe(1, head, backbone=backbone))
    own, examples = built.model.head("main"), found.splits["train"]
    expected = own.features(list(examples), built.model.backbone)
    rows = StoredRows(own, examples, built.model.backbone)
    assert list(rows) == expected
    assert list(rows.lengths) == [row.length for row in expected]
    for mine, its in zip(
        batches_of(rows, 200, 8, torch.Generator().manual_seed(1)),
        batches_of(expected, 200, 8, torch.Generator().manual_seed(1)),
        strict=True,
    ):
        assert list(mine) == list(its)


def test_tokens_of_a_real_tokenizer_come_back_the_same(here, tmp_path):
    large("a.jsonl", toydata.labelled(96))
    folder = tinymodels.save("bert", tmp_path / "bert")
    built, found = data_of(
        recipe(1, backbone={"name": "transformers", "model": str(folder)}, strategies=["head-only"])
    )
    own, examples = built.model.head("main"), found.splits["train"]
    expected = own.features(list(examples), built.model.backbone)
    rows = StoredRows(own, examples, built.model.backbone)
    assert [dict(row.inputs) for row in rows] == [
        {name: list(values) for name, values in row.inputs.items()} for row in expected
    ]
    assert [row.truncated for row in rows] == [True] * len(expected)


def test_reading_and_splitting_keep_little_in_memory(here):
    """24 MB of text; one mebibyte is room for a row, a line and the places of 1500 rows."""
    with Path("a.jsonl").open("w") as file:
        for row in toydata.labelled(1500):
            file.write(json.dumps(row | {"text": row["text"] + FILL}) + "\n")
    blueprint = plan(parse(recipe(1)), installed(), Context())
    read_data(blueprint)  # whatever is imported is imported
    tracemalloc.start()
    try:
        found = read_data(blueprint)["main"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(len(examples) for examples in found.splits.values()) == 1500
    assert peak < 2**20


def test_limits_are_in_mebibytes_and_0_keeps_all_in_memory(here):
    large("a.jsonl", toydata.labelled(96))
    size = Path("a.jsonl").stat().st_size
    assert 2**20 < size < 2 * 2**20
    assert read_table("a.jsonl", size - 1).streamed
    assert not read_table("a.jsonl", size).streamed
    assert not read_table("a.jsonl", 0).streamed
    assert isinstance(data_of(recipe(1))[1].splits["train"], Lazy)
    assert isinstance(data_of(recipe(2))[1].splits["train"], list)


def test_a_large_data_set_of_datasets_is_not_taken_into_memory(here, noted):
    datasets = pytest.importorskip("datasets")
    rows = [row | {"text": row["text"] + FILL} for row in toydata.labelled(96)]
    dataset = datasets.Dataset.from_list(rows)
    runs = [hub_core.train(recipe(limit, epochs=1), dataset) for limit in (0, 1)]
    assert noted
    assert runs[0].history == runs[1].history


# -- what is wrong


def test_what_is_wrong_in_large_data_is_told_alike(here):
    rows = toydata.labelled(96)
    rows[40]["label"] = None
    large("a.jsonl", rows)
    for limit in (0, 1):
        with pytest.raises(DataError) as caught:
            hub_core.train(recipe(limit))
        assert caught.value.message == (
            "a.jsonl: 1 value cannot be used:\n  - row 41, column 'label': the label is missing"
        )


# -- what is left


def test_nothing_is_left_on_disk_nor_seen_while_it_runs(here, noted):
    large("a.jsonl", toydata.labelled(96))
    before = {path.name for path in here.iterdir()}
    seen = set()

    def look(event, figures):
        seen.update(path.name for path in here.iterdir())
        seen.update(path.name for path in (here / "scratch").iterdir())

    hub_core.train(recipe(1), report=look)
    hub_core.train(recipe(1), out="new/out", report=look, prove=False)
    assert {folder if folder is None else folder.name for folder in noted} == {None, here.name}
    assert seen - before - {"new"} == set()
    assert {path.name for path in here.iterdir()} == before | {"new"}


def test_nothing_is_left_after_an_error(here, noted):
    large("a.jsonl", toydata.labelled(96))
    before = {path.name for path in here.iterdir()}
    with pytest.raises(TrainingError):
        hub_core.train(recipe(1, learning_rate=1e30, epochs=9))
    assert noted
    assert {path.name for path in here.iterdir()} == before
    assert list((here / "scratch").iterdir()) == []


HINT = "free some disk space there, or set training.memory_limit = 0 to keep the data in memory"


def test_a_full_disk_is_one_sentence(here, monkeypatch):
    large("a.jsonl", toydata.labelled(96))
    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: open("/dev/full", "r+b"))  # noqa: PTH123, SIM115
    with pytest.raises(DataError) as caught:
        hub_core.train(recipe(1), out="out")
    assert caught.value.message == (
        f"the data cannot be kept on disk in {here}: No space left on device"
    )
    assert caught.value.hint == HINT
    assert not Path("out.run").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(here, monkeypatch):
    def refuse(dir):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(DataError) as caught:
        Store([1])
    assert caught.value.message == (
        f"the data cannot be kept on disk in {here / 'scratch'}: Permission denied"
    )
    assert caught.value.hint == HINT


# -- sequences


VALUES = [1, 0.1, "é\n😀", None, True, [1, [2.5]], {"a": {"b": []}}, ""]


def test_values_come_back_the_same_one_by_one_and_in_slices():
    store = Store(VALUES)
    assert len(store) == len(VALUES)
    assert list(store) == VALUES
    assert [store[index] for index in range(-8, 8)] == VALUES + VALUES
    assert list(store[1:6:2][1:]) == VALUES[1:6:2][1:]
    assert list(reversed(store)) == VALUES[::-1]
    for index in (8, -9):
        with pytest.raises(IndexError):
            store[index]


def test_a_store_of_nothing_is_empty():
    assert list(Store([])) == []


def test_a_split_of_stored_examples_is_that_of_a_list():
    examples = toydata.labelled(60)
    for seed in range(4):
        split = [
            split_off(kind, 0.3, "label", torch.Generator().manual_seed(seed))
            for kind in (examples, Store(examples))
        ]
        assert [list(part) for part in split[1]] == list(split[0])
        assert all(isinstance(part, Picked) for part in split[1])
