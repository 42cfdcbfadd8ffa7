"""The doctor says what is wrong with each plugin and with what it runs in."""

import errno
import json
import os
import stat
import sys
import sysconfig

import pytest
from test_plugins_cli import COMMAND, GOOD, Site

from hub_core.doctor import surroundings
from hub_core.install import checks, tools

PLUGINS = {
    "hub-good": GOOD,
    "hub-raises": "raise RuntimeError('at import')",
    "hub-hook": GOOD.replace("    yield", "    raise KeyError('rank')\n    yield"),
    "hub-exits": "raise SystemExit('I need another Python')",
    "hub-dies": "import os\nos._exit(4)",
    "hub-prints": "print('hello from me')\n" + GOOD,
    "hub-heavy": "import torch\n" + GOOD,
    "hub-lacks": "import hub_library_that_is_not_there",
}
"""Plugin to its code; the factories and options of the methods are in the module ``a``."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    found = Site(tmp_path_factory.mktemp("doctor"))
    for name, code in PLUGINS.items():
        found.add(name, code)
    (found.folder / "a.py").write_text("raise AssertionError('a factory is never imported')")
    found.add("hub-nowhere", GOOD.replace('"a:B"', '"hub_gone.part:B"'))
    found.add("hub-nothing", points="[hub_core]\nhub-nothing = hub_gone.plugin\n")
    found.add("hub-newer", "raise AssertionError", requires="hub-core>=7")
    found.add("hub-twin", points="[hub_core]\nhub-toys = hub_twin\n")
    found.add("hub-greeter", COMMAND, points=(
        "[hub_core.commands]\ngreet = hub_greeter:greet\nbye = hub_greeter:bye\n"
        "no = hub_greeter:click\n"))  # fmt: skip
    found.add("hub-other", COMMAND, points="[hub_core.commands]\ngreet = hub_other:greet\n")
    return found


@pytest.fixture(scope="module")
def answer(site):
    done = site.hub("plugins", "doctor", "--json", "--timeout", "120")
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)
    return done.stderr, {row["what"]: row for row in rows}


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("hub-raises", "wrong", "its import fails: RuntimeError: at import"),
        ("hub-hook", "wrong", "its import fails: KeyError: 'rank'"),
        ("hub-exits", "wrong", "its import fails: SystemExit: I need another Python"),
        ("hub-dies", "wrong", "its import ended the process with 4"),
        ("hub-prints", "note", "it prints when it is imported: 'hello from me'"),
        ("hub-lacks", "wrong", "its import fails: ModuleNotFoundError: No module named "
         "'hub_library_that_is_not_there'"),
        ("hub-nowhere", "wrong", "far-away names hub_gone.part:B, but there is no module "
         "hub_gone.part"),
        ("hub-nothing", "wrong", "its entry point leads to nothing: there is no module "
         "hub_gone.plugin"),
        ("hub-newer", "wrong", "incompatible: it needs hub-core >=7, this is 0.1.0"),
        ("hub-toys@hub-toys", "wrong", "broken: hub-twin brings a plugin of that name too"),
        ("hub-greeter", "wrong", "its command 'bye' fails: AttributeError: module 'hub_greeter' "
         "has no attribute 'bye'; its command 'no' is a module"),
        ("commands", "wrong", "'greet' is brought by hub-greeter and hub-other: uninstall one of "
         "them"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plugin_is_told(answer, name, state, reason):
    _, rows = answer
    assert (rows[name]["state"], rows[name]["reason"]) == (state, reason)


def test_a_plugin_that_imports_something_large_is_told_with_what_it_costs(answer):
    row = answer[1]["hub-heavy"]
    seconds = row["details"]["seconds"]
    assert row["details"]["heavy"] == ["torch", "numpy"]
    assert (row["state"], row["reason"]) == (
        "note",
        "its import brings torch and numpy, which costs every command: it took "
        f"{seconds:.1f} s; import them in the modules of factories",
    )


def test_a_plugin_that_is_well_is_told_with_the_time_of_its_import(answer):
    row = answer[1]["hub-good"]
    assert (row["state"], row["details"]["distribution"]) == ("ok", "hub-good")
    assert row["reason"] == f"1 method, {1000 * row['details']['seconds']:.0f} ms"
    assert row["details"]["heavy"] == []
    assert answer[1]["hub-server"]["reason"].startswith("1 command, ")


def test_all_that_is_wrong_is_named_in_the_end(answer):
    said, rows = answer
    wrong = [name for name, row in rows.items() if row["state"] == "wrong"]
    assert said == f"\nSomething is wrong with {', '.join(wrong)}.\n"
    assert len(wrong) >= 11


def test_a_plugin_that_hangs_is_told_and_one_that_is_off_is_not_imported(tmp_path):
    site = Site(tmp_path)
    site.add("hub-hangs", "import time\ntime.sleep(1000)")
    done = site.hub("plugins", "doctor", "--timeout", "1", HUB_PLUGINS="hub-hangs")
    assert done.returncode == 1
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "hub-hangs 1.2 wrong its import did not end within 1 s" in lines
    why = "HUB_PLUGINS does not name it; add it there to use it"
    assert f"hub-toys 0.1.0 note disabled: {why}" in lines


# -- the environment


def about(what):
    [found] = [finding for finding in surroundings.of_surroundings() if finding.what == what]
    return found.state, found.reason


def program(folder, text):
    """An executable called ``hub``."""
    folder.mkdir()
    path = folder / ("hub.bat" if os.name == "nt" else "hub")
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_another_program_called_hub_is_told_with_its_path(tmp_path, monkeypatch):
    instead = "'hub-core' and 'python -m hub_core' run this one"
    other = program(tmp_path / "other", "#!/bin/sh\necho github\n")
    monkeypatch.setenv("PATH", str(other.parent))
    assert about("hub") == ("wrong", f"'hub' runs {other}, which is another program; {instead}")
    twin = program(tmp_path / "twin", "from hub_core.cli import main\n")
    monkeypatch.setenv("PATH", str(twin.parent))
    assert about("hub") == (
        "wrong",
        f"'hub' runs {twin}, which is that of another environment; {instead}",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert about("hub") == ("note", f"there is no 'hub' on PATH; {instead}")
    own = program(tmp_path / "own", "from hub_core.cli import main\n")
    monkeypatch.setenv("PATH", os.pathsep.join([str(own.parent), str(other.parent)]))
    real = sysconfig.get_path
    monkeypatch.setattr(
        surroundings.sysconfig, "get_path",
        lambda name: str(own.parent) if name == "scripts" else real(name),
    )  # fmt: skip
    assert about("hub") == ("ok", str(own))


def test_a_missing_pip_and_a_read_only_environment_are_told(monkeypatch):
    assert about("installer") == ("ok", tools.shown([sys.executable, "-m", "pip"]))
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    ensured = tools.shown([sys.executable, "-m", "ensurepip"])
    assert about("installer") == (
        "note",
        f"there is neither pip for {sys.executable} nor uv; {ensured} brings pip",
    )

    def refused(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(checks.tempfile, "TemporaryFile", refused)
    place = sysconfig.get_path("purelib")
    assert about("environment") == (
        "note", f"{place} cannot be written: {os.strerror(errno.EROFS)}"
    )  # fmt: skip


def test_settings_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_CORE_CONFIG", str(tmp_path))
    assert "settings" not in {finding.what for finding in surroundings.of_surroundings()}
    (tmp_path / "plugins.json").write_text("[]")
    assert about("settings") == (
        "wrong",
        f"{tmp_path / 'plugins.json'} cannot be read, so no plugin is disabled: it must read "
        '{"disabled": ["NAME"]}; delete it, or give HUB_CORE_CONFIG another folder',
    )


def test_versions_are_told():
    found = {finding.what: finding for finding in surroundings.of_surroundings()}
    from importlib.metadata import version

    assert found["torch"].reason == version("torch")
    assert found["transformers"].reason == version("transformers")
    assert found["hub-core"].reason == "0.1.0"
    assert found["python"].reason == f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"
