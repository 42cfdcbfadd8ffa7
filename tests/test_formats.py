"""Formats are read for ever: one artifact of every kind is kept, loaded and verified."""

import re
from pathlib import Path

import pytest

import hub_core
from hub_core import manifest
from hub_core.build import plan
from hub_core.catalog import installed
from hub_core.errors import BaseMismatchError
from hub_core.part import Context
from hub_core.recipe import parse

DATA = Path(__file__).parent / "data" / "artifacts"
FORMATS = sorted(DATA.glob("format-*"))
KEPT = [path.parent for path in sorted(DATA.glob("format-*/*/hub.json"))]
KINDS = {
    "format-1": {
        "delta-lora": "adapter_model.safetensors",
        "delta-dora": "adapter_model.safetensors",
        "delta-pruned": "adapter_model.safetensors",
        "head-only": "head.main.safetensors",
        "regression": "adapter_model.safetensors",
        "toy-prefix": "delta.safetensors",
        "toy-shrink": "whole.safetensors",
        "two-tasks": "head.topic.safetensors",
        "whole-int8": "whole.safetensors",
        "whole-plain": "model.safetensors",
    }
}
"""Format to kind to a file that only this kind has."""


def place(folder):
    return "" if folder.name.startswith("toy") else str(folder.parent / "backbone")


def skip_where_random_numbers_differ(folder):
    """A toy's weights come from a seed; not every processor draws the same last bits."""
    content = manifest.read(folder)
    if content.backbone.name or content.form == "whole":
        return
    blueprint = plan(parse(content.recipe), installed(), Context())
    backbone = blueprint.backbone.provided.factory().load(blueprint.backbone.options, Context())
    if backbone.identity.fingerprint != content.backbone.fingerprint:
        pytest.skip("this machine draws other random numbers")


def name_of(folder):
    return f"{folder.parent.name}/{folder.name}"


@pytest.mark.parametrize("folder", KEPT, ids=name_of)
def test_a_kept_artifact_loads_and_gives_what_it_gave(folder):
    if folder.name.startswith("toy"):
        skip_where_random_numbers_differ(folder)
    check = hub_core.verify(folder, backbone=place(folder))
    assert check.same
    assert check.rows == 8 * len(manifest.read(folder).tasks)


@pytest.mark.parametrize("folder", KEPT, ids=name_of)
def test_a_kept_artifact_predicts(folder):
    if folder.name.startswith("toy"):
        skip_where_random_numbers_differ(folder)
    predictor = hub_core.load(folder, backbone=place(folder))
    for task, entry in predictor.manifest.tasks.items():
        [prediction] = predictor.predict(["a very fine day"], task=task)
        if entry.labels:
            assert prediction["label"] in entry.labels
        else:
            assert -3 < prediction["score"] < 4


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: path.name)
def test_every_kind_of_a_format_is_kept(folder):
    for name, file in KINDS[folder.name].items():
        assert (folder / name / file).is_file()
    assert {path.name for path in KEPT if path.parent == folder} == set(KINDS[folder.name])
    assert {manifest.read(folder / name).format for name in KINDS[folder.name]} == {
        int(folder.name.removeprefix("format-"))
    }


def test_the_newest_format_is_kept():
    assert f"format-{manifest.FORMAT}" in KINDS
    assert len(FORMATS) == len(KINDS) == manifest.FORMAT


def test_kept_artifacts_are_small_and_name_no_machine():
    files = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    for path in files:
        assert path.stat().st_size < 150_000, path
        found = re.search(rb"/(home|root|tmp|Users|work)/", path.read_bytes())
        assert found is None or path.suffix == ".py", path


def test_a_kept_adapter_on_another_backbone_is_refused(tmp_path):
    import tinymodels

    other = tinymodels.save("bert", tmp_path / "other", seed=7)
    for folder in KEPT:
        if (folder / "adapter_config.json").is_file():
            with pytest.raises(BaseMismatchError):
                hub_core.load(folder, backbone=str(other))
