"""What training tells goes to a tracker too; one that cannot be used is told before training."""

import re

import pytest
import toydata
from accelerate.utils import LoggerType
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import hub_core
from hub_core import tracking
from hub_core.errors import RecipeError, TrainingError
from hub_core.recipe import parse

RECIPE = toydata.recipe(strategies=["head-only"], tracker="tensorboard")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder, the result, and every event that a report was told."""
    told = []
    folder = tmp_path_factory.mktemp("tracked")
    result = hub_core.train(
        RECIPE, toydata.labelled(), out=folder / "mood", prove=False,
        report=lambda event, figures: told.append((event, dict(figures))),
    )  # fmt: skip
    return folder, result, told


def scalars(folder):
    """Return tag to (step, value) pairs of the event file beside the artifact."""
    events = EventAccumulator(str(folder / "mood.run" / "hub-core"))
    events.Reload()
    return {
        tag: [(found.step, found.value) for found in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_loss_and_rate_of_every_step_are_in_the_event_file(trained):
    folder, _, told = trained
    steps = [figures for event, figures in told if event == "step"]
    found = scalars(folder)
    assert len(steps) > 10
    for tag, key in (("train/loss", "loss"), ("train/rate", "rate")):
        assert [step for step, _ in found[tag]] == [figures["step"] for figures in steps]
        assert [value for _, value in found[tag]] == pytest.approx([f[key] for f in steps])


def test_validation_of_every_epoch_is_in_the_event_file(trained):
    folder, result, _ = trained
    found = scalars(folder)
    assert [step for step, _ in found["epoch/loss"]] == [e["step"] for e in result.history]
    accuracy = [entry["validation"]["main"]["accuracy"] for entry in result.history]
    assert [value for _, value in found["validation/main.accuracy"]] == pytest.approx(accuracy)


def test_the_served_model_is_measured_at_the_last_step(trained):
    folder, result, _ = trained
    [(step, value)] = scalars(folder)["served/main.test.accuracy"]
    assert step == result.history[-1]["step"]
    assert value == pytest.approx(result.metrics["main"]["test"]["accuracy"])


def test_the_recipe_is_the_configuration(trained):
    folder, _, _ = trained
    [path] = (folder / "mood.run" / "hub-core").glob("*/hparams.yml")
    text = path.read_text("utf-8")
    assert "backbone.name: toy-encoder\n" in text
    assert "strategies.0.name: head-only\n" in text
    assert "training.epochs: 2\n" in text


def test_a_run_is_resumed_with_another_tracker(tmp_path):
    def stop(event, figures):
        if event == "epoch":
            raise KeyboardInterrupt

    values = toydata.recipe(strategies=["head-only"], checkpoint_steps=3)
    with pytest.raises(KeyboardInterrupt):
        hub_core.train(values, toydata.labelled(), out=tmp_path / "a", report=stop, prove=False)
    tracked = {**values, "training": {**values["training"], "tracker": "tensorboard"}}
    hub_core.train(tracked, toydata.labelled(), out=tmp_path / "a", resume=True, prove=False)
    assert list((tmp_path / "a.run" / "hub-core").glob("events.*"))


# -- what cannot be used


def test_every_tracker_of_accelerate_is_known():
    assert set(tracking.PACKAGES) == {str(name) for name in LoggerType.list()} - {"all"}


def test_a_missing_library_is_told_before_training(monkeypatch, tmp_path):
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [LoggerType.TENSORBOARD])
    values = {**RECIPE, "training": {**RECIPE["training"], "tracker": "comet_ml"}}
    with pytest.raises(TrainingError) as caught:
        hub_core.train(values, "no-such-file.csv", out=tmp_path / "out")
    assert caught.value.message == "the tracker comet_ml needs a library that is not installed"
    assert caught.value.hint == "pip install comet-ml, or leave training.tracker out"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TrainingError, match=r"^the tracker comet_ml needs a library"):
        hub_core.dry_run(values, toydata.labelled())


def test_an_unknown_tracker_lists_the_known():
    with pytest.raises(RecipeError) as caught:
        tracking.check("tensorbord")
    assert caught.value.message == "training.tracker: there is no tracker 'tensorbord'"
    assert caught.value.hint == (
        "did you mean 'tensorboard'?; there are aim, clearml, comet_ml, dvclive, mlflow, swanlab, "
        "tensorboard, trackio, wandb"
    )


def test_a_tracker_that_writes_files_needs_a_folder():
    with pytest.raises(TrainingError) as caught:
        hub_core.train(RECIPE, toydata.labelled())
    assert caught.value.message == "the tracker tensorboard writes files, and nothing is saved here"
    assert caught.value.hint == "give out=, or leave training.tracker out"


def failing(place):
    class Failing:
        trackers = ()

        def __init__(self, **_):
            return None

        def __getattr__(self, name):
            def act(*_, **__):
                if name == place:
                    raise OSError("no\nconnection")

            return act

    return Failing


def test_a_tracker_that_cannot_start_stops_training(monkeypatch, tmp_path):
    monkeypatch.setattr(tracking, "Accelerator", failing("init_trackers"))
    with pytest.raises(TrainingError) as caught:
        hub_core.train(RECIPE, toydata.labelled(), out=tmp_path / "out")
    assert caught.value.message == ("the tracker tensorboard cannot start: OSError: no connection")
    assert caught.value.hint == (
        "set tensorboard up as its documentation says, or leave training.tracker out"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("log", "stopped working, training goes on: OSError: no connection"),
        ("end_training", "did not end well: OSError: no connection"),
    ],
)
def test_a_tracker_that_fails_later_is_told_once(monkeypatch, tmp_path, caplog, place, sentence):
    monkeypatch.setattr(tracking, "Accelerator", failing(place))
    hub_core.train(RECIPE, toydata.labelled(), out=tmp_path / "out", prove=False)
    assert [r.getMessage() for r in caplog.records if "tracker" in r.getMessage()] == [
        f"the tracker tensorboard {sentence}"
    ]


# -- what is given


def test_settings_become_one_table():
    settings = {"a": {"b": [{"name": "x"}, {"name": "y", "r": 8}]}, "c": ["p", "q"], "d": None,
                "e": 1.5}  # fmt: skip
    assert tracking.flat(settings) == {
        "a.b.0.name": "x", "a.b.1.name": "y", "a.b.1.r": 8, "c": "p, q", "e": 1.5,
    }  # fmt: skip


def test_other_events_are_not_given():
    assert tracking.values_of("plan", {"steps": 3}) == {}


def test_paths_of_this_machine_are_not_given(tmp_path):
    values = {**RECIPE, "backbone": {"name": "toy-encoder", "seed": 1}}
    values["tasks"] = {"main": {"head": "classification", "data": str(tmp_path / "secret.csv")}}
    settings = tracking.flat(tracking.public_recipe(parse(values)))
    assert settings["tasks.main.data"] == "secret.csv"
    assert not any(re.search(re.escape(str(tmp_path)), str(v)) for v in settings.values())
