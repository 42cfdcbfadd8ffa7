"""A trained artifact is made smaller without training; what that did is measured and told."""

import functools
import json
import re

import pytest
import quick
import torch
import toydata
from click.testing import CliRunner

import hub_core
from hub_core import manifest
from hub_core.catalog import Catalog, Plugin, installed
from hub_core.cli.root import hub as command
from hub_core.compressing import compress
from hub_core.errors import ArtifactError, DataError, IncompatibleError, RecipeError
from hub_core.loading import load
from hub_core.part import Part
from hub_core.spec import hookimpl

own = functools.partial(quick.own, __name__)
ROWS = {"train": toydata.labelled(64), "validation": toydata.labelled(32, seed=9),
        "test": toydata.labelled(48, seed=8)}  # fmt: skip


class Calibrating(Part):
    """Asks for data when the model is finished."""

    def finalize(self, model, ctx):
        if not ctx.restoring:
            ctx.log("rows", sum(len(batch.rows) for batch in ctx.batches(4)))


class Training(Part):
    """Takes effect in training alone."""

    needs_training = True


@hookimpl
def hub_compressors():
    yield own("own-calibrating", "Calibrating")
    yield own("own-training", "Training")


CATALOG = Catalog([*installed().plugins(), Plugin("own", __name__, "hub-own", "1.0")])


@pytest.fixture(scope="module", params=["lora", "full"])
def artifact(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / request.param
    hub_core.train(
        toydata.recipe(strategies=[request.param], device="cpu"), ROWS, out=folder, prove=False
    )
    return folder


def squeeze(start, *compressors, data=None, out, **rest):
    return compress(start, {"compressors": list(compressors)}, data, out=out, **rest)


def test_every_step_is_measured_before_and_after(artifact, tmp_path):
    chain = [{"name": "prune-magnitude", "sparsity": 0.9}, {"name": "quantize-int8"}]
    result = squeeze(artifact, *chain, data=ROWS, out=tmp_path / "small")
    effects = manifest.read(tmp_path / "small").effects
    assert [e.step for e in effects] == ["trained", "prune-magnitude", "quantize-int8"]
    assert effects[0].bytes > effects[1].bytes
    assert effects[1].memory > effects[2].memory
    assert all(e.latency > 0 and e.throughput > 0 for e in effects)
    first = load(artifact).evaluate(ROWS["validation"])[0]
    last = load(tmp_path / "small").evaluate(ROWS["validation"])[0]
    assert effects[0].metrics["main"] == pytest.approx(first)
    assert effects[-1].metrics["main"] == pytest.approx(last)
    assert result.metrics["main"]["test"] == load(tmp_path / "small").evaluate(ROWS["test"])[0]


def test_what_comes_out_holds_the_whole_model_and_is_what_a_fresh_process_loads(artifact, tmp_path):
    squeeze(artifact, {"name": "quantize-int8"}, data=ROWS, out=tmp_path / "small")
    content = manifest.read(tmp_path / "small")
    assert content.form == "whole"
    assert content.proof is not None
    step = content.lineage[-1]
    assert step["step"] == "compress"
    assert step["from"]["compressors"] == []
    weights = torch.cat(
        [
            t.flatten().float()
            for n, t in load(tmp_path / "small").model.state_dict().items()
            if "int8" in n
        ]
    )
    assert weights.abs().max() > 0


def test_without_data_nothing_is_claimed_and_only_bytes_and_time_are_unknown(artifact, tmp_path):
    result = squeeze(artifact, {"name": "prune-magnitude"}, out=tmp_path / "small")
    content = manifest.read(tmp_path / "small")
    assert result.metrics == {}
    assert content.tasks["main"].metrics == {}
    assert content.tasks["main"].labels == manifest.read(artifact).tasks["main"].labels
    assert [(e.latency, e.metrics) for e in content.effects] == [(0.0, {})] * 2
    assert load(tmp_path / "small").predict(["fine film"])


def test_a_second_compression_keeps_what_the_first_decided(tmp_path, artifact):
    squeeze(artifact, {"name": "prune-magnitude", "sparsity": 0.9}, out=tmp_path / "one")
    squeeze(tmp_path / "one", {"name": "quantize-int8"}, out=tmp_path / "two")
    content = manifest.read(tmp_path / "two")
    assert [m.name for m in content.methods if m.kind == "compressor"] == [
        "prune-magnitude", "quantize-int8",
    ]  # fmt: skip
    assert content.report["prune-magnitude.sparsity"] == pytest.approx(0.9, abs=0.01)
    assert [step["step"] for step in content.lineage] == ["compress", "compress"]


def test_a_compressor_that_calibrates_needs_data(artifact, tmp_path):
    with pytest.raises(DataError) as told:
        squeeze(artifact, {"name": "own-calibrating"}, out=tmp_path / "small", catalog=CATALOG)
    assert told.value.message == "a compressor needs data to calibrate on, and none are given"
    assert told.value.hint == "name a file with --data, such as the training data"
    assert not (tmp_path / "small").exists()
    squeeze(artifact, {"name": "own-calibrating"}, data=ROWS, out=tmp_path / "small",
            catalog=CATALOG, prove=False)  # fmt: skip


def test_one_that_works_in_training_alone_is_refused(artifact, tmp_path):
    with pytest.raises(IncompatibleError) as told:
        squeeze(artifact, {"name": "own-training"}, out=tmp_path / "small", catalog=CATALOG)
    assert told.value.message == (
        "own-training takes effect while a model trains, so it cannot be applied afterwards"
    )
    assert told.value.hint == "train further with it: hub train --from … --compress own-training"


@pytest.mark.parametrize("second", ["quantize-int8", "prune-magnitude"])
def test_what_is_quantized_is_neither_quantized_nor_pruned_again(artifact, tmp_path, second):
    squeeze(artifact, {"name": "quantize-int8"}, out=tmp_path / "one")
    with pytest.raises(IncompatibleError, match="compressor quantize-int8 has taken it away"):
        squeeze(tmp_path / "one", {"name": second}, out=tmp_path / "two")


def test_no_compressor_and_a_folder_that_is_taken_are_refused(artifact, tmp_path):
    with pytest.raises(RecipeError, match="no compressor is named"):
        squeeze(artifact, out=tmp_path / "small")
    with pytest.raises(ArtifactError, match="holds an artifact already"):
        squeeze(artifact, {"name": "quantize-int8"}, out=artifact)


def test_training_with_a_compressor_is_measured_too(tmp_path):
    recipe = toydata.recipe(strategies=["full"], compressors=["quantize-int8"], device="cpu")
    hub_core.train(recipe, ROWS, out=tmp_path / "out", prove=False)
    assert [e.step for e in manifest.read(tmp_path / "out").effects] == ["trained", "quantize-int8"]


def hub(*arguments):
    return CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)


def test_the_command_prints_the_steps_and_inspect_repeats_them(artifact, tmp_path):
    file, small = tmp_path / "rows.jsonl", tmp_path / "small"
    file.write_text("".join(json.dumps(row) + "\n" for row in toydata.labelled(80)), "utf-8")
    how = ["--with", "prune-magnitude", "--set", "prune-magnitude.sparsity=0.75"]
    done = hub("compress", artifact, *how, "--data", file, "--out", small, "-q")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        *["compressors", "in", "a", "file", "in", "memory", "one", "example", "batch", "of", "32"],
        "accuracy", "macro_f1", "matthews", "calibration_error",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:3]] == ["trained", "prune-magnitude"]
    assert re.search(r"x\) .* \([+-]0\.\d{4}\)", lines[2])
    inspected = hub("inspect", tmp_path / "small")
    assert "\n".join(lines[:3]) in inspected.stdout


def test_the_command_says_in_json_what_it_did(artifact, tmp_path):
    done = hub("compress", artifact, "--with", "quantize-int8", "--out", tmp_path / "small",
               "--json", "-q")  # fmt: skip
    answer = json.loads(done.stdout)
    assert [effect["step"] for effect in answer["effects"]] == ["trained", "quantize-int8"]
    assert answer["metrics"] == {}
