"""The predictions of a finished model stay beside its artifact, and its history goes into it."""

import json

import pytest
import toydata

import hub_core
from hub_core import manifest, predictions
from hub_core.errors import DataError, HubError
from hub_core.extract import extract
from hub_core.predictions import Judged

RECIPE = toydata.recipe(strategies=["full"], epochs=3, learning_rate=0.01)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictions") / "mood"
    return folder, hub_core.train(RECIPE, toydata.labelled(), out=folder, prove=False)


def test_the_history_is_in_the_artifact_with_the_best_epoch(trained):
    folder, result = trained
    history = manifest.read(folder).history
    assert [{k: v for k, v in entry.items() if k != "best"} for entry in history] == list(
        result.history
    )
    accuracies = [entry["validation"]["main"]["accuracy"] for entry in history]
    first = accuracies.index(max(accuracies))
    assert [entry.get("best", False) for entry in history] == [n == first for n in range(3)]


def test_without_validation_no_epoch_is_the_best(tmp_path):
    values = {**RECIPE, "tasks": {"main": {"head": "classification", "validation": 0, "test": 0}}}
    hub_core.train(values, toydata.labelled(), out=tmp_path / "out", prove=False)
    assert not any("best" in entry for entry in manifest.read(tmp_path / "out").history)
    assert predictions.read(tmp_path / "out.run", "main") == []


def test_a_figure_that_is_no_number_is_null(trained, tmp_path):
    from hub_core.artifact import _finite

    assert _finite({"loss": float("nan"), "validation": {"a": {"f1": 0.5}}}) == {
        "loss": None,
        "validation": {"a": {"f1": 0.5}},
    }


def test_an_old_manifest_has_no_history(trained, tmp_path):
    folder, _ = trained
    values = json.loads((folder / "hub.json").read_text("utf-8"))
    del values["history"]
    (tmp_path / "hub.json").write_text(json.dumps(values))
    assert manifest.read(tmp_path).history == []
    assert manifest.read(tmp_path).format == 1


def test_predictions_on_test_are_kept_with_the_truth(trained):
    folder, result = trained
    kept = predictions.read(predictions.run_folder(folder), "main")
    assert {row.split for row in kept} == {"test"}
    assert len(kept) == result.manifest.tasks["main"].examples["test"]
    again = result.predictor.predict([row.input for row in kept])
    assert [row.prediction["label"] for row in kept] == [found["label"] for found in again]
    assert {tuple(row.input) for row in kept} == {("text",)}
    correct = sum(row.truth["label"] == row.prediction["label"] for row in kept) / len(kept)
    assert correct == pytest.approx(result.metrics["main"]["test"]["accuracy"])


def test_predictions_on_validation_are_kept_where_there_is_no_test(tmp_path):
    values = {**RECIPE, "tasks": {"main": {"head": "toy-tags", "test": 0}}}
    hub_core.train(values, toydata.tagged(), out=tmp_path / "out", prove=False)
    kept = predictions.read(tmp_path / "out.run", "main")
    assert {row.split for row in kept} == {"validation"}
    assert all(len(row.truth["tags"]) == len(row.input["tokens"]) for row in kept)


def test_the_artifact_holds_no_data(trained):
    folder, _ = trained
    assert not list(folder.glob("predictions*"))


def test_a_model_that_is_not_saved_leaves_no_predictions_of_the_one_before(tmp_path, monkeypatch):
    out = tmp_path / "out"
    hub_core.train(RECIPE, toydata.labelled(), out=out, prove=False)
    assert predictions.place(tmp_path / "out.run", "main").is_file()

    def refuse(*_, **__):
        raise HubError("refused")

    monkeypatch.setattr("hub_core.artifact.save", refuse)
    with pytest.raises(HubError, match=r"^refused$"):
        hub_core.train(RECIPE, toydata.labelled(), out=out, overwrite=True, prove=False)
    assert not predictions.place(tmp_path / "out.run", "main").exists()


def test_an_extracted_task_has_its_own_history(tmp_path):
    values = {**RECIPE, "tasks": {name: {"head": "classification"} for name in ("mood", "topic")}}
    data = {"mood": toydata.labelled(), "topic": toydata.topics()}
    hub_core.train(values, data, out=tmp_path / "two", prove=False)
    extract(tmp_path / "two", "topic", tmp_path / "one", prove=False)
    history = manifest.read(tmp_path / "one").history
    assert [set(entry["validation"]) for entry in history] == [{"topic"}] * 3
    assert all(predictions.read(tmp_path / "two.run", name) for name in data)


# -- the files

ROW = Judged("test", {"text": "a\u2028b\n"}, {"label": "x"}, {"label": "y", "probability": 0.5})


def test_what_is_written_is_read(tmp_path):
    predictions.write(tmp_path, "main", [ROW, ROW])
    assert predictions.read(tmp_path, "main") == [ROW, ROW]
    assert predictions.read(tmp_path, "other") == []
    predictions.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_predictions_are_written_whole_or_not_at_all(tmp_path):
    def rows():
        yield ROW
        raise KeyboardInterrupt

    predictions.write(tmp_path, "main", [ROW])
    with pytest.raises(KeyboardInterrupt):
        predictions.write(tmp_path, "main", rows())
    assert predictions.read(tmp_path, "main") == [ROW]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.main.jsonl"]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError) as caught:
        predictions.write(tmp_path / "gone", "main", [ROW])
    path = tmp_path / "gone" / "predictions.main.jsonl"
    assert caught.value.message == f"{path} cannot be written: No such file or directory"
    assert caught.value.hint == "free some disk space, or choose another folder"


def test_a_full_disk_after_saving_is_a_warning(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise DataError("predictions.main.jsonl cannot be written: No space left on device")

    monkeypatch.setattr(predictions, "write", full)
    hub_core.train(RECIPE, toydata.labelled(), out=tmp_path / "out", prove=False)
    assert (tmp_path / "out" / "hub.json").is_file()
    [record] = [r for r in caplog.records if "predictions" in r.getMessage()]
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "predictions.main.jsonl cannot be written: No space left on device"
    )


@pytest.mark.parametrize("line", ["{", "[]", '{"split": "test"}', "null", '"text"',
    '{"split": "test", "input": [], "truth": {}, "prediction": {}}'])  # fmt: skip
def test_a_damaged_line_is_told_with_its_number(tmp_path, line):
    predictions.write(tmp_path, "main", [ROW])
    path = predictions.place(tmp_path, "main")
    path.write_text(path.read_text("utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        predictions.read(tmp_path, "main")
    assert caught.value.message == f"{path}: line 2 is damaged"
    assert caught.value.hint == "train again, or evaluate with --data FILE"
