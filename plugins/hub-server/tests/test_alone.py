"""With no other plugin there is, an artifact of the core's toys goes to the server and back."""

from pathlib import Path

import pytest

import hub_core
from hub_core.testing.surroundings import surrounded

RECIPE = {
    "backbone": "hub-testing:toy-stack",
    "tasks": {"mood": {"head": "hub-testing:toy-label"}},
    "strategies": ["hub-testing:toy-open"],
    "training": {"epochs": 2, "precision": "fp32", "threads": 1, "batch_examples": 8},
}
ROWS = [
    {"text": f"a {word} day {n}", "label": word} for n in range(20) for word in ("warm", "dull")
]
TEXTS = ["a warm day 3", "a dull day 4"]


@pytest.fixture
def toys(tmp_path):
    with surrounded((), tmp_path / "own-cache"):
        yield


@pytest.mark.usefixtures("toys")
def test_what_was_trained_is_pushed_pulled_and_predicts_the_same(api, tmp_path):
    result = hub_core.train(RECIPE, ROWS, out=tmp_path / "out", prove=False)
    api.create_repo("team/mood")
    pushed = api.upload_folder(repo_id="team/mood", folder_path=tmp_path / "out")
    here = api.snapshot_download("team/mood", revision=pushed.oid, local_dir=tmp_path / "pulled")
    there = hub_core.load(Path(here)).predict(TEXTS)
    assert there == result.predictor.predict(TEXTS)
