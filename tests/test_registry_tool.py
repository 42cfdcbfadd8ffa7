"""registry.json is written from the plugins, and only what changed is measured again."""

import importlib.util

import pytest
from registries import HASH, content, method, plugin, written

from hub_core import __version__
from hub_core.install.wanted import _is_listed
from hub_core.registry import read


@pytest.fixture(scope="module")
def tool(request):
    path = request.config.rootpath / "tools" / "registry.py"
    spec = importlib.util.spec_from_file_location("tools_registry", path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def folder_of_a_plugin(tmp_path, ending="\n"):
    folder = tmp_path / "hub-far"
    (folder / "hub_far").mkdir(parents=True, exist_ok=True)
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_bytes(f"[project]{ending}".encode())
    (folder / "hub_far" / "plugin.py").write_bytes(f"A = 1{ending}".encode())
    return folder


def test_the_hash_is_of_code_alone_and_the_same_for_every_line_ending(tool, tmp_path):
    folder = folder_of_a_plugin(tmp_path)
    before = tool.measured_hash(folder)
    (folder / "README.md").write_text("new", "utf-8")
    (folder / "tests" / "test_other.py").write_text("new", "utf-8")
    assert tool.measured_hash(folder_of_a_plugin(tmp_path, "\r\n")) == before


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "hub_far/plugin.py", "hub_far/new.py", "tests/test_conformance.py"]
)
def test_a_change_of_code_changes_the_hash(tool, tmp_path, name):
    folder = folder_of_a_plugin(tmp_path)
    before = tool.measured_hash(folder)
    (folder / name).write_text("B = 2\n", "utf-8")
    assert tool.measured_hash(folder) != before


def test_an_entry_is_stale_when_its_code_or_the_core_changed(tool, tmp_path):
    facts = {"source": HASH, "versions": {"core": __version__}}
    values = content(hub_far=plugin(method(facts=facts), code=HASH))
    found = read(written(tmp_path, values))
    assert tool.stale("hub-far", HASH, found) == ""
    assert tool.stale("hub-far", "1" * 64, found) == "its files changed"
    assert tool.stale("hub-near", HASH, found) == "it is missing"
    facts["versions"]["core"] = "0.0.1"
    found = read(written(tmp_path, values))
    told = tool.stale("hub-far", HASH, found)
    assert told == "the facts of far-away are of another hub-core"


def test_the_check_imports_no_plugin_and_tells_what_is_out_of_date(tool, tmp_path, monkeypatch):
    def fails(*_):
        raise AssertionError("a plugin was asked")

    monkeypatch.setattr(tool, "methods_of", fails)
    monkeypatch.setattr(tool, "FILE", written(tmp_path, content(hub_far=plugin())))
    told = list(tool.problems({}))
    assert told[0] == "hub-far is no plugin of this repository"
    assert "hub-basics: it is missing" in told
    assert "hub_core/registry/registry.json is not a copy of it" in told


def test_references_of_a_schema_are_replaced_by_what_they_lead_to(tool):
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}
    assert tool.describe.inlined(schema) == {"properties": {"a": {"type": "string"}}}


def test_the_code_of_every_plugin_here_is_what_the_registry_lists(tool):
    """Else installing one from a clone would ask about code that nobody changed."""
    listed = read(tool.FILE).plugins
    assert {folder.name for folder in tool.folders()} == set(listed)
    for folder in tool.folders():
        assert _is_listed(folder, listed[folder.name]), folder.name
