"""An installation only adds; a failure leaves all as it was; what is broken can be removed."""

import errno
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from handmade import NOTHING, Environment, by_api, listed, refusal, sha256, told, versions, wheel
from test_plugins_cli import BROKEN as RUINS

from hub_core.install import InstallError, checks, kept, tools, update
from hub_core.install.tools import Tool
from hub_core.registry import PluginEntry, Registry, Source


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("install"))


@pytest.fixture
def environment(fresh):
    """The environment, without anything that a test installed before."""
    yield fresh
    fresh.clear()


# -- what it needs


def test_what_is_missing_is_installed_too_and_what_is_there_stays(environment, tmp_path):
    wheel(tmp_path / "index", "handmade-library", points="", requires=())
    path = wheel(tmp_path, requires=("hub-core>=0.1", "handmade-library>=1", "torch"))
    done = environment.hub("plugins", "install", path, "--yes",
                           PIP_FIND_LINKS=str(tmp_path / "index"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = [line for line in done.stderr.splitlines() if line.startswith("$ ")]
    assert " install --constraint " in first
    assert first.endswith(" 'handmade-library>=1'")
    assert "--no-deps" in second
    names = {path.name for path in environment.site.glob("*.dist-info")}
    assert names == {"handmade_library-1.0.dist-info", "hub_far-1.0.dist-info"}


def test_a_library_never_brings_a_listed_plugin_from_an_index(environment, tmp_path):
    wheel(tmp_path / "index", "handmade-library", points="", requires=("hub-near",))
    wheel(tmp_path / "index", "hub-near", points="")  # a stranger took the name
    path = wheel(tmp_path, requires=("handmade-library",))
    source = {"kind": "repository", "url": "https://example.org/near"}
    entries = listed(path, sha256=sha256(path)) | {"hub-near": {"version": "1", "source": source}}
    before = environment.files()
    code, lines = by_api(environment, "hub-far", entries, PIP_FIND_LINKS=str(tmp_path / "index"))
    assert (code, lines[-2]) == (1, "hub-far 1.0 was not installed: the last command ended with 1")
    assert environment.files() == before


# -- a failure leaves everything as it was


BROKEN = {"hub_far/part_file": "", "hub_far/part_file/deeper.py": ""}
"""A file in the place of a folder: pip finds that out half-way."""


def test_an_installation_that_fails_half_way_leaves_nothing(environment, tmp_path):
    wheel(tmp_path / "index", "handmade-library", points="", requires=())
    path = wheel(tmp_path, files=BROKEN, requires=("handmade-library",))
    before = environment.files()
    done = environment.hub("plugins", "install", path, "--yes",
                           PIP_FIND_LINKS=str(tmp_path / "index"))  # fmt: skip
    assert "Successfully installed handmade-library-1.0" in done.stderr
    assert told(done) == (
        f"Error: hub-far 1.0 was not installed: the last command ended with {code_of(done)}\n"
        "Hint: what it said stands above; the environment is as it was"
    )
    assert environment.files() == before


def code_of(done):
    """The exit code of pip, which differs between its versions when it meets a bug."""
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Error: hub-far")]
    code = int(line.rsplit(" ", 1)[1])
    assert code > 0
    return code


def test_an_update_that_fails_half_way_leaves_the_old_version_working(environment, tmp_path):
    path = wheel(tmp_path)
    assert environment.hub("plugins", "install", path, "--yes").returncode == 0
    before = environment.files()
    new = wheel(tmp_path, version="2.0", files={"hub_far/added.py": "", **BROKEN})
    done = environment.hub("plugins", "install", new, "--yes")
    assert told(done).startswith("Error: hub-far 2.0 was not installed: the last command ended ")
    assert environment.files() == before
    assert "far-away" in environment.hub("methods").stdout


def test_a_plugin_is_updated_to_what_is_listed(environment, tmp_path):
    assert environment.hub("plugins", "install", wheel(tmp_path), "--yes").returncode == 0
    new = wheel(tmp_path, version="1.10")
    entries = listed(new, version="1.10", sha256=sha256(new))
    code, lines = by_api(environment, "hub-far", entries, "update")
    assert (code, lines[-1]) == (0, "installed hub-far 1.10")
    assert versions(environment) == {"hub-far": "1.10"}
    code, lines = by_api(environment, "hub-far", entries, "update")
    assert (code, lines) == (0, ["hub-far 1.10 is the newest that is listed"])


def test_what_cannot_be_updated_is_told():
    def never(line):
        raise AssertionError(line)

    with pytest.raises(InstallError) as caught:
        update("hub-toys", NOTHING, ask=never, say=never)
    assert (caught.value.message, caught.value.hint) == (
        "no registry lists hub-toys",
        "install the newer version from where you have it from: its wheel or its folder",
    )
    with pytest.raises(InstallError) as caught:
        update("hub-toyz", NOTHING, ask=never, say=never)
    assert (caught.value.message, caught.value.hint) == (
        "no plugin named 'hub-toyz' is installed", "did you mean 'hub-toys'?",
    )  # fmt: skip
    source = Source(kind="repository", url="https://example.org/it")
    registry = Registry(plugins={"hub-prune": PluginEntry(version="99", source=source)})
    folder = (Path(__file__).parent.parent / "plugins" / "hub-prune").as_uri()
    assert update("hub-prune", registry, ask=never, say=never) == (
        f"hub-prune 0.1.0 is used from {folder}: update that folder"
    )


# -- recovery


def test_broken_plugins_are_installed_unimported_listed_switched_off_and_removed(
    environment, tmp_path
):
    path = wheel(tmp_path, code="import os; os._exit(7)")
    assert environment.hub("plugins", "install", path, "--yes").stdout == "installed hub-far 1.0\n"
    assert environment.hub("methods").returncode == 7
    assert versions(environment) == {"hub-far": "1.0"}
    doctor = environment.hub("plugins", "doctor")
    assert "its import ended the process with 7" in doctor.stdout
    assert environment.hub("plugins", "disable", "hub-far").returncode == 0
    assert environment.hub("methods").returncode == 0
    assert environment.hub("plugins", "uninstall", "hub-far").stdout == "removed hub-far 1.0\n"
    assert versions(environment) == {}


def test_the_doctor_and_uninstall_work_with_every_plugin_broken(environment, tmp_path):
    for name, code in RUINS.items():
        with zipfile.ZipFile(wheel(tmp_path, name, code=code)) as archive:
            archive.extractall(environment.site)
    assert environment.hub("plugins", "disable", "hub-hangs").returncode == 0
    usable = {"HUB_PLUGINS": ",".join({*RUINS} - {"hub-hangs"})}
    doctor = environment.hub("plugins", "doctor", "--json", "--timeout", "120", **usable)
    assert doctor.returncode == 1
    rows = {row["what"]: row for row in json.loads(doctor.stdout)}
    states = {name: rows[name]["state"] for name in RUINS}
    assert states == dict.fromkeys(RUINS, "wrong") | {"hub-hangs": "note"}
    for name in RUINS:
        done = environment.hub("plugins", "uninstall", name, HUB_PLUGINS=",".join(RUINS))
        assert (done.returncode, done.stdout) == (0, f"removed {name} 1.0\n")
    assert [path.name for path in environment.site.iterdir()] == ["below.pth"]


def test_what_cannot_be_removed_is_told(environment):
    def refused(name):
        return told(environment.hub("plugins", "uninstall", name))

    assert refused("qqq") == (
        "Error: no plugin named 'qqq' is installed\nHint: 'hub plugins list' lists the plugins"
    )
    assert refused("hub-core") == (
        "Error: 'hub-core' is installed, but it is no plugin\n"
        "Hint: 'hub plugins list' lists the plugins"
    )
    lines = refused("hub-toys").splitlines()  # it lies in a folder, without a list of its files
    assert lines[0].startswith("Error: hub-toys is still there, in ")
    assert lines[1] == (
        "Hint: what pip said stands above; 'hub plugins disable hub-toys' switches it off"
    )


def test_what_an_interrupted_installation_left_is_taken_away(tmp_path, monkeypatch):
    """Of the functions alone: what a real interruption leaves differs from run to run."""
    site = tmp_path / "site"
    (site / "old").mkdir(parents=True)
    monkeypatch.setattr(kept, "_folders", lambda: {site})
    before = kept.keep("hub-far", [site / "old" / "new.py"], tmp_path / "before")
    for path in (site / "old" / "new.py", site / "hub_far" / "plugin.py"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    assert before.restore() == []
    assert [path.name for path in site.rglob("*")] == ["old"]


def test_damaged_metadata_never_stand_in_the_way(tmp_path, monkeypatch):
    half = tmp_path / "hub_half-1.0.dist-info"
    half.mkdir()
    before = checks.versions()
    monkeypatch.syspath_prepend(tmp_path)
    assert checks.versions() == before
    (half / "METADATA").write_text("Metadata-Version: 2.1\nName: hub-half\nVersion: odd one\n")
    assert checks.versions() == before
    assert "hub-half" not in " ".join(checks.constraints(NOTHING))
    (half / "METADATA").write_text("Metadata-Version: 2.1\nName: Hub_Half\nVersion: 1.0\n")
    assert checks.versions() == before | {"hub-half": "1.0"}


# -- environments


def test_a_read_only_environment_is_told_before_anything_is_fetched(tmp_path, monkeypatch):
    def refused(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(checks.tempfile, "TemporaryFile", refused)
    message, hint = refusal(wheel(tmp_path))
    assert message.endswith(f"site-packages cannot be written: {os.strerror(errno.EROFS)}")
    assert hint == "make a virtual environment of your own: python -m venv"


def test_uv_is_used_where_there_is_no_pip(monkeypatch):
    assert tools.tool() == Tool("pip", (sys.executable, "-m", "pip"))
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.setattr(tools.shutil, "which", lambda name: f"/there/{name}")
    uv = tools.tool()
    assert uv.install("--no-deps", "x") == (
        "/there/uv", "pip", "install", "--python", sys.executable, "--no-deps", "x"
    )  # fmt: skip
    assert uv.uninstall("x") == ("/there/uv", "pip", "uninstall", "--python", sys.executable, "x")


def test_an_installation_where_there_is_no_pip_runs_uv(environment, tmp_path):
    """With a stand-in for uv that writes down what it was asked for."""
    (environment.site / "no_pip.pth").write_text("import sys; sys.modules['pip'] = None\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    asked = tmp_path / "asked.json"
    script = f"import json, sys; json.dump(sys.argv[1:], open({str(asked)!r}, 'w')); sys.exit(3)"
    (programs / "stand_in.py").write_text(script)
    if os.name == "nt":
        uv = programs / "uv.bat"
        uv.write_text(f'@"{sys.executable}" "{programs / "stand_in.py"}" %*\n')
    else:
        uv = programs / "uv"
        uv.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{programs / "stand_in.py"}" "$@"\n')
        uv.chmod(0o755)
    path = wheel(tmp_path)
    found = os.pathsep.join([str(programs), os.environ["PATH"]])
    done = environment.hub("plugins", "install", path, "--yes", PATH=found)
    assert told(done) == (
        "Error: hub-far 1.0 was not installed: the last command ended with 3\n"
        "Hint: what it said stands above; the environment is as it was"
    )
    words = json.loads(asked.read_text())
    assert words[:4] == ["pip", "install", "--python", str(environment.python)]
    assert words[4:-1] == ["--no-deps", "--require-hashes", "--requirement"]
    done = environment.hub("plugins", "install", path, "--yes", PATH=os.devnull)
    assert told(done).startswith(f"Error: there is neither pip for {environment.python} nor uv\n")


def test_neither_pip_nor_uv_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    assert refusal(wheel(tmp_path)) == (
        f"there is neither pip for {sys.executable} nor uv",
        f"{tools.shown([sys.executable, '-m', 'ensurepip'])} brings pip",
    )
