"""Whoever uses what will go is named with its version, once, with what to use instead."""

import logging
from types import ModuleType

import pytest

from hub_core import deprecation
from hub_core.deprecation import tell

CHANGE = {"instead": "Stage(learning_rate=…)", "gone": "hub-core 0.3"}


@pytest.fixture(autouse=True)
def _nothing_told_yet():
    deprecation._tell_once.cache_clear()
    yield
    deprecation._tell_once.cache_clear()


def install(folder, monkeypatch, group):
    info = folder / "hub_mine-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hub-mine\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nmine = hub_mine_here.plugin\n")
    monkeypatch.syspath_prepend(folder)


def install_others(folder):
    """Install what is no plugin, what is another's, and what cannot be read."""
    points = {"hub_mine_here_too": "[console_scripts]\nx = hub_mine_here.plugin\n",
              "hub_other": "[hub_core]\nother = hub_mine_here_too.plugin\n",
              "damaged": "[hub_core\n= =\nhub_mine_here"}  # fmt: skip
    for name, text in points.items():
        (folder / f"{name}-3.0.dist-info").mkdir()
        (folder / f"{name}-3.0.dist-info" / "entry_points.txt").write_text(text)


def made_in(module):
    return type("Mine", (), {"__module__": module})


@pytest.mark.parametrize("group", ["hub_core", "hub_core.commands", "hub_core.readers"])
def test_a_plugin_is_named_with_its_version_and_the_change(tmp_path, monkeypatch, caplog, group):
    install(tmp_path, monkeypatch, group)
    install_others(tmp_path)
    tell(made_in("hub_mine_here.part"), "Stage(rate=…)", **CHANGE)
    [record] = caplog.records
    assert (record.name, record.levelno) == ("hub_core", logging.WARNING)
    assert record.getMessage() == (
        "hub-mine 1.2 uses Stage(rate=…), which goes in hub-core 0.3; "
        "Stage(learning_rate=…) takes its place"
    )


def test_it_is_told_once_whatever_of_the_plugin_uses_it(tmp_path, monkeypatch, caplog):
    install(tmp_path, monkeypatch, "hub_core")
    mine = made_in("hub_mine_here.part")
    for user in (mine, mine(), made_in("hub_mine_here.other")):
        tell(user, "Stage(rate=…)", **CHANGE)
    assert len(caplog.records) == 1
    tell(mine, "Stage(part=…)", **CHANGE)
    assert len(caplog.records) == 2


def test_a_plugin_that_no_distribution_brings_is_named_by_its_package(caplog):
    tell(made_in("mine_in_a_test.part"), "Stage(rate=…)", **CHANGE)
    assert caplog.messages == [
        "mine_in_a_test uses Stage(rate=…), which goes in hub-core 0.3; "
        "Stage(learning_rate=…) takes its place"
    ]


def test_a_module_may_be_what_uses_it(caplog):
    tell(ModuleType("mine_in_a_test.plugin"), "hub_parts", instead="hub_strategies", gone="0.3")
    assert caplog.messages == ["mine_in_a_test uses hub_parts, which goes in 0.3; "
                               "hub_strategies takes its place"]  # fmt: skip
