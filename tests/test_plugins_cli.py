"""``hub plugins`` lists, switches off and on, and works with every plugin broken."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from hub_core import disabled
from hub_core.catalog import Catalog, _discover
from hub_core.cli.plugins import COMMANDS, plugins
from hub_core.cli.plugins.asking import asker
from hub_core.errors import PluginError

GOOD = """
from hub_core.spec import Method, hookimpl

@hookimpl
def hub_strategies():
    yield Method(name="far-away", summary="Something", factory="a:B", options="a:C")
"""
COMMAND = "import click\n@click.command()\ndef greet():\n    click.echo('hello')\n"
BROKEN = {
    "hub-raises": "raise RuntimeError('at import')",
    "hub-exits": "raise SystemExit(3)",
    "hub-dies": "import os\nos._exit(4)",
    "hub-hangs": "import time\ntime.sleep(1000)",
    "hub-typo": "def broken(:",
}


class Site:
    """A folder of installed distributions that processes find, and settings of its own."""

    def __init__(self, folder):
        self.folder = folder / "site"
        self.settings = folder / "settings"

    def add(self, name, code=GOOD, *, points="", requires="hub-core>=0.1"):
        module = name.replace("-", "_")
        info = self.folder / f"{module}-1.2.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.2",
                 f"Requires-Dist: {requires}"]  # fmt: skip
        (info / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")
        (info / "entry_points.txt").write_text(points or f"[hub_core]\n{name} = {module}\n")
        (self.folder / f"{module}.py").write_text(code, "utf-8")

    def hub(self, *arguments, **variables):
        fixed = {
            "PYTHONPATH": os.pathsep.join([str(self.folder), os.environ["PYTHONPATH"]]),
            "HUB_CORE_CONFIG": str(self.settings),
            "PYTHONIOENCODING": "utf-8",
        }
        return subprocess.run(
            [sys.executable, "-m", "hub_core", *arguments],
            env=os.environ | fixed | variables, stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", check=False,
        )  # fmt: skip

    def rows(self, **variables):
        done = self.hub("plugins", "list", "--json", **variables)
        assert done.returncode == 0, done.stderr
        return {row["name"]: (row["status"], row["reason"]) for row in json.loads(done.stdout)}


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.delenv("HUB_PLUGINS", raising=False)
    return Site(tmp_path)


def said(done, code=1):
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr


# -- the group


def test_without_a_command_it_lists(site):
    site.add("hub-far")
    for more in ((), ("--json",)):
        alone, named = site.hub("plugins", *more), site.hub("plugins", "list", *more)
        assert (alone.returncode, alone.stdout) == (0, named.stdout)
    assert re.search(r"^hub-far +hub-far +1\.2 +ok$", site.hub("plugins").stdout, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_the_command_says(name):
    command = plugins.get_command(None, name)
    assert command.name == name
    assert (
        command.help.split("\n\n")[0]
        .replace("\n", " ")
        .rstrip(".")
        .startswith(COMMANDS[name][1].rstrip("."))
    )
    assert CliRunner().invoke(command, ["--help"]).exit_code == 0


def test_an_unknown_command_names_the_nearest(site):
    assert said(site.hub("plugins", "instal"), 2).endswith(
        "Error: there is no command 'plugins instal'; did you mean 'install'?\n"
    )
    assert said(site.hub("plugins", "xyz"), 2).endswith(
        "Error: there is no command 'plugins xyz'; 'hub plugins --help' lists all commands\n"
    )


def test_listing_imports_neither_plugins_nor_anything_large(site):
    site.add("hub-far", "raise AssertionError")
    code = (
        "import sys; from hub_core.cli import main; main(['plugins', 'list']);"
        "print('|'.join(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(site.folder)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    modules = set(done.stderr.splitlines()[-1].split("|"))
    assert not {"hub_far", "pluggy", "pydantic", "torch", "hub_core.install"} & modules
    assert "hub-far" in done.stdout


def test_a_plugin_that_only_brings_commands_is_listed_too(site):
    site.add("hub-greeter", COMMAND, points="[hub_core.commands]\ngreet = hub_greeter:greet\n")
    site.add(
        "hub-both", points="[hub_core]\nboth = hub_both\n[hub_core.commands]\nb = hub_both:b\n"
    )
    found = site.rows()
    assert found["hub-greeter"] == found["both"] == ("ok", "")
    assert "hub-both" not in found
    assert "far-away" in site.hub("methods").stdout


def test_a_newer_core_and_a_name_that_is_taken_are_told_in_the_list(site):
    site.add("hub-new", "raise AssertionError", requires="hub-core>=7,<8")
    site.add("hub-same", points="[hub_core]\nhub-toys = hub_same\n")
    found = site.rows()
    assert found["hub-new"] == ("incompatible", "it needs hub-core <8,>=7, this is 0.1.0")
    assert found["hub-toys@hub-toys"] == ("broken", "hub-same brings a plugin of that name too")


# -- switching off and on


def test_a_plugin_is_switched_off_and_on_for_this_user(site):
    site.add("hub-far", "raise AssertionError")
    done = site.hub("plugins", "disable", "hub-far")
    assert (done.returncode, done.stdout, done.stderr) == (
        0, "hub-far is disabled; 'hub plugins enable hub-far' uses it again\n", ""
    )  # fmt: skip
    assert site.rows()["hub-far"] == (
        "disabled",
        "switched off; 'hub plugins enable hub-far' uses it again",
    )
    assert site.rows()["hub-toys"] == ("ok", "")
    assert "hub-far is broken" not in site.hub("methods").stderr
    done = site.hub("plugins", "enable", "hub-far")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hub-far is enabled\n", "")
    assert site.rows()["hub-far"] == ("ok", "")


def test_the_environment_goes_before_what_was_switched(site):
    site.add("hub-far")
    site.hub("plugins", "disable", "hub-far")
    assert site.rows(HUB_PLUGINS="hub-far")["hub-far"] == ("ok", "")
    assert site.rows(HUB_PLUGINS="hub-far")["hub-toys"] == (
        "disabled",
        "HUB_PLUGINS does not name it; add it there to use it",
    )
    assert {status for status, _ in site.rows(HUB_PLUGINS="").values()} == {"disabled"}
    done = site.hub("plugins", "enable", "hub-far", HUB_PLUGINS="")
    assert done.stderr == "HUB_PLUGINS is set and goes before it.\n"


def test_names_that_cannot_be_switched_are_told(site):
    site.add("hub-far")
    assert said(site.hub("plugins", "disable", "hub-fra")) == (
        "Error: no plugin named 'hub-fra' is installed\nHint: did you mean 'hub-far'?\n"
    )
    assert said(site.hub("plugins", "enable", "hub-far")) == (
        "Error: hub-far is not switched off\nHint: switched off are: none\n"
    )
    site.hub("plugins", "disable", "hub-far")
    assert said(site.hub("plugins", "enable", "hub-fra")) == (
        "Error: hub-fra is not switched off\nHint: switched off are: hub-far\n"
    )


def test_what_is_gone_can_still_be_switched_on(site):
    site.add("hub-far")
    site.hub("plugins", "disable", "hub-far")
    shutil.rmtree(site.folder)
    assert site.hub("plugins", "enable", "hub-far").stdout == "hub-far is enabled\n"


def test_a_command_of_a_plugin_that_is_off_is_not_run(site):
    site.add("hub-greeter", COMMAND, points="[hub_core.commands]\ngreet = hub_greeter:greet\n")
    assert site.hub("greet").stdout == "hello\n"
    site.hub("plugins", "disable", "hub-greeter")
    assert said(site.hub("greet")) == (
        "Error: command 'greet' of hub-greeter 1.2 cannot be used: it is disabled: switched off; "
        "'hub plugins enable hub-greeter' uses it again\n"
    )


def test_a_damaged_file_of_settings_is_never_overwritten_and_switches_nothing_off(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("HUB_CORE_CONFIG", str(tmp_path))
    for text, reason in (
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"disabled": "hub-toys"}', 'it must read {"disabled": ["NAME"]}'),
        ("[]", 'it must read {"disabled": ["NAME"]}'),
    ):
        disabled.path().write_text(text, "utf-8")
        message = f"{tmp_path / 'plugins.json'} cannot be read, so no plugin is disabled: {reason}"
        assert disabled.problem() == message
        assert disabled.names() == frozenset()
        with pytest.raises(PluginError) as caught:
            disabled.disable("hub-toys")
        assert caught.value.message == message
        assert caught.value.hint == "delete it, or give HUB_CORE_CONFIG another folder"
        assert disabled.path().read_text("utf-8") == text
    assert next(p for p in Catalog(_discover()).plugins() if p.name == "hub-toys").status == "ok"


def test_settings_that_cannot_be_written_are_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HUB_CORE_CONFIG", str(tmp_path / "file" / "in"))
    with pytest.raises(PluginError) as caught:
        disabled.disable("hub-toys")
    assert caught.value.message.startswith(f"{tmp_path / 'file' / 'in' / 'plugins.json'} cannot be")
    assert caught.value.hint.startswith("the environment variable HUB_PLUGINS names the plugins")


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HUB_CORE_CONFIG": "own"}, "own"),
        ({"XDG_CONFIG_HOME": "base", "APPDATA": "base"}, os.path.join("base", "hub-core")),
    ],
)
def test_where_settings_are(monkeypatch, variables, folder):
    monkeypatch.delenv("HUB_CORE_CONFIG", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(disabled.config_folder()) == folder


# -- asking


def test_a_person_is_asked_and_no_is_the_default(monkeypatch):
    assert asker(yes=True)("Install it?") is True
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked = []

    def confirm(question, *, default, err):
        asked.append((question, default, err))
        return True

    monkeypatch.setattr("click.confirm", confirm)
    assert asker(yes=False)("Install it?") is True
    assert asked == [("Install it?", False, True)]


# -- with every plugin broken


@pytest.fixture
def ruins(site):
    for name, code in BROKEN.items():
        site.add(name, code)
    site.add("hub-command", COMMAND.replace("hello", ""), points=(
        "[hub_core.commands]\nplugins = hub_gone:it\nhelp = hub_gone:it\n"))  # fmt: skip
    site.add("hub-nothing", points="[hub_core]\nhub-nothing = hub_gone.plugin\n")
    return site


@pytest.mark.parametrize(
    "line", ["--version", "--help", "plugins", "plugins list --json", "plugins --help",
             "plugins disable hub-dies", "plugins install hub-prune --dry-run",
             "plugins search far", "plugins registries --json"]
)  # fmt: skip
def test_recovery_works_with_every_plugin_broken(ruins, line):
    if line.startswith("plugins search"):  # describes what is installed, so those that end or hang
        for name in ("hub-dies", "hub-hangs"):  # must be off
            ruins.hub("plugins", "disable", name)
    done = ruins.hub(*line.split())
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert done.stdout or line == "plugins search far"


def test_a_plugin_that_hangs_is_switched_off_and_methods_work_again(ruins):
    for name in ("hub-dies", "hub-hangs"):
        ruins.hub("plugins", "disable", name)
    done = ruins.hub("methods")
    assert done.returncode == 0
    assert "toy-encoder" in done.stdout
    said = done.stderr.splitlines()
    assert "plugin hub-raises is broken: RuntimeError: at import" in said
    assert "plugin hub-nothing is broken: ModuleNotFoundError: No module named 'hub_gone'" in said
