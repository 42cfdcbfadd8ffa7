"""Plugins in repositories: this clone, where hub-core came from, a pinned commit, a folder."""

import json
import subprocess
from pathlib import Path

import pytest
from handmade import Environment, by_api, told

from hub_core.install import InstallError
from hub_core.install import wanted as module_under_test
from hub_core.install.wanted import wanted
from hub_core.registry import PluginEntry, Registry, Source


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("install"))


@pytest.fixture
def environment(fresh):
    """The environment, without anything that a test installed before."""
    yield fresh
    fresh.clear()


def test_a_plugin_of_this_repository_comes_from_this_clone(environment):
    done = environment.hub("plugins", "install", "hub-prune", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "hub-prune 0.1.0 is installed already\n"
    entries = {"hub-prune": {"version": "9.0", "source": {"kind": "repository", "subdirectory":
               "plugins/hub-prune"}}}  # fmt: skip
    code, lines = by_api(environment, "hub-prune", entries)
    folder = Path(__file__).parent.parent / "plugins" / "hub-prune"
    assert lines[0].endswith(f"--no-deps --no-build-isolation {folder}")
    assert (code, lines[-1]) == (0, "installed hub-prune 0.1.0")


@pytest.fixture
def repository(tmp_path):
    """A git repository with the source of a plugin in a folder."""
    root = tmp_path / "repository"
    folder = root / "plugins" / "hub-far"
    (folder / "hub_far").mkdir(parents=True)
    (folder / "hub_far" / "__init__.py").write_text('"""Far."""\n__version__ = "1.0"\n')
    (folder / "hub_far" / "plugin.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core>=3.9,<4"]\nbuild-backend = "flit_core.buildapi"\n'
        '[project]\nname = "hub-far"\ndynamic = ["version", "description"]\n'
        'dependencies = ["hub-core>=0.1"]\n[project.entry-points.hub_core]\n'
        'hub-far = "hub_far.plugin"\n[tool.flit.module]\nname = "hub_far"\n'
    )
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "one"], check=True)
    asked = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return root, asked.stdout.strip()


def test_a_plugin_in_a_git_repository_is_pinned_to_the_commit_that_was_looked_at(
    environment, repository
):
    root, commit = repository
    source = {"kind": "repository", "url": root.as_uri(), "subdirectory": "plugins/hub-far"}
    entries = {"hub-far": {"version": "1.0", "source": source}}
    code, lines = by_api(environment, "hub-far", entries)
    assert (code, lines[-1]) == (0, "installed hub-far 1.0")
    wanted = f"git+{root.as_uri()}@{commit}#subdirectory=plugins/hub-far"
    assert lines[-2].endswith(f"install --no-deps --no-build-isolation '{wanted}'")


def test_code_in_a_repository_that_is_not_what_is_listed_is_asked_about(environment, repository):
    root, _ = repository
    source = {"kind": "repository", "url": root.as_uri(), "subdirectory": "plugins/hub-far"}
    entries = {"hub-far": {"version": "1.0", "source": source, "code": "0" * 64}}
    code, lines = by_api(environment, "hub-far", entries)
    assert (code, lines[-2]) == (
        1,
        f"hub-far 1.0 was not installed: the code of hub-far 1.0 at {root.as_uri()} is not what "
        "the registry of the tests lists",
    )


class FakeCore:
    """What is known about an installed hub-core."""

    def __init__(self, **origin):
        self.origin = origin

    def distribution(self, name):
        assert name == "hub-core"
        return self

    def read_text(self, name):
        assert name == "direct_url.json"
        return json.dumps(self.origin) if self.origin else None


def own(monkeypatch, tmp_path, **origin):
    """What a plugin of hub-core's own repository is, where hub-core is in no clone."""
    monkeypatch.setattr(module_under_test, "ROOT", tmp_path)
    monkeypatch.setattr(module_under_test.metadata, "distribution", FakeCore(**origin).distribution)
    source = Source(kind="repository", subdirectory="plugins/hub-far")
    registry = Registry(plugins={"hub-far": PluginEntry(version="1.0", source=source)})
    (tmp_path / "work").mkdir(exist_ok=True)
    return wanted("hub-far", registry, None, tmp_path / "work", lambda line: None)


def test_a_plugin_of_this_repository_comes_from_where_hub_core_was_installed_from(
    monkeypatch, repository, tmp_path
):
    root, commit = repository
    folder = root / "plugins" / "hub-far"
    found = own(monkeypatch, tmp_path, url=root.as_uri(), dir_info={})
    assert (found.requirement, found.doubt) == (str(folder), "")
    found = own(monkeypatch, tmp_path, url=root.as_uri(), vcs_info={"commit_id": commit})
    requirement = f"git+{root.as_uri()}@{commit}#subdirectory=plugins/hub-far"
    assert (found.requirement, found.doubt) == (requirement, "")


def test_a_plugin_of_this_repository_is_not_looked_for_where_nobody_knows(monkeypatch, tmp_path):
    with pytest.raises(InstallError) as caught:
        own(monkeypatch, tmp_path)
    assert (caught.value.message, caught.value.hint) == (
        "hub-far is in the repository of hub-core, and where that is is not known here",
        "clone it and name the folder: hub plugins install CLONE/plugins/hub-far",
    )
    monkeypatch.setattr(module_under_test.shutil, "which", lambda name: None)
    with pytest.raises(InstallError) as caught:
        own(monkeypatch, tmp_path, url="https://example.org/it", vcs_info={"commit_id": "0" * 40})
    assert (caught.value.message, caught.value.hint) == (
        "hub-far is in the git repository https://example.org/it, and there is no git",
        "install git, or download the repository and name the folder of the plugin",
    )


def test_a_folder_is_installed_from_where_it_is(environment, repository):
    folder = repository[0] / "plugins" / "hub-far"
    asked = environment.hub("plugins", "install", folder)
    assert told(asked).startswith(
        f"Error: hub-far 1.0 was not installed: no registry lists the code in {folder}\n"
    )
    done = environment.hub("plugins", "install", folder, "--yes")
    assert (done.returncode, done.stdout) == (0, "installed hub-far 1.0\n")
    [command] = [line for line in done.stderr.splitlines() if line.startswith("$ ")]
    assert command.endswith(f"pip install --no-deps --no-build-isolation {folder}")
