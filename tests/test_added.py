"""Of a plugin that is off nothing is imported: no command, no reader and no picture."""

import pytest
from test_plugins_cli import Site

from hub_core import added, catalog, disabled, readers
from hub_core.card.pictures import picture
from hub_core.errors import FormatError

POINTS = "[hub_core.readers]\nfar = hub_far:it\n[hub_core.pictures]\nfar = hub_far:it\n"
CHECK = "check the name, or ask its author what it was made with"


@pytest.fixture
def far(tmp_path, monkeypatch):
    """Install hub-far, which brings a reader and a picture and fails when it is imported."""
    site = Site(tmp_path)
    monkeypatch.setenv("HUB_CORE_CONFIG", str(site.settings))
    monkeypatch.delenv("HUB_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(site.folder)
    disabled.disable("hub-report")  # so that nothing else draws

    def install(requires="hub-core>=0.1"):
        site.add("hub-far", "raise OSError('it was imported')", points=POINTS, requires=requires)
        forget()

    yield install
    monkeypatch.undo()
    forget()


def forget():
    catalog.installed.cache_clear()
    readers.installed.cache_clear()


def told():
    """Return what is said of a repository that no reader knows."""
    with pytest.raises(FormatError) as caught:
        readers.reader_for({"notes.txt": 3})
    assert caught.value.hint.endswith(f"; {CHECK}")
    return caught.value.hint.removesuffix(f"; {CHECK}")


def test_a_plugin_that_may_be_used_is_imported(far, caplog):
    far()
    assert told() == "the reader far is broken (OSError: it was imported)"
    assert picture(None) is None
    assert caplog.messages == ["the picture 'far' could not be drawn: OSError: it was imported"]


def test_a_plugin_that_is_switched_off_is_not_imported_and_the_way_back_is_told(far, caplog):
    disabled.disable("hub-far")
    far()
    assert told() == (
        "the reader far of hub-far 1.2 cannot be used: it is disabled: switched off; "
        "'hub plugins enable hub-far' uses it again"
    )
    assert picture(None) is None
    assert caplog.messages == []


def test_a_plugin_that_the_environment_leaves_out_is_not_imported(far, caplog, monkeypatch):
    monkeypatch.setenv("HUB_PLUGINS", "hub-transformers")
    far()
    assert told() == (
        "the reader far of hub-far 1.2 cannot be used: it is disabled: HUB_PLUGINS does not name "
        "it; add it there to use it"
    )
    assert list(readers.installed()[0]) == ["peft", "transformers"]
    assert picture(None) is None
    assert caplog.messages == []


def test_a_plugin_for_another_core_is_not_imported(far, caplog):
    far(requires="hub-core>=7")
    assert told() == (
        "the reader far of hub-far 1.2 cannot be used: it is incompatible: it needs hub-core >=7, "
        "this is 0.1.0"
    )
    assert picture(None) is None
    assert caplog.messages == []


def test_who_brings_an_entry_point_is_told():
    [point] = catalog.metadata.entry_points(group=catalog.COMMANDS, name="serve")
    assert added.origin(point) == "hub-server 0.1.0"
    nobody = catalog.metadata.EntryPoint("serve", "a:b", catalog.COMMANDS)
    assert (added.origin(nobody), added.refusal(nobody)) == ("an unknown distribution", "")
