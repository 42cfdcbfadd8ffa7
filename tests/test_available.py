"""What exists, installed or not, is searched, shown and put on a page, and never obeyed."""

import html.parser
import json
import re
import sys

import pytest
from click.testing import CliRunner
from registries import HASH, content, method, plugin, written, yes

from hub_core.available import available, matching
from hub_core.catalog import Catalog, installed
from hub_core.cli import main
from hub_core.cli.methods import methods
from hub_core.cli.plugins.search import search
from hub_core.cli.show import show
from hub_core.cli.webpage import page, write
from hub_core.errors import HubError, PluginError, UnknownMethodError
from hub_core.registry import RegistryError, add, read, shipped

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> Grüße 漢字 \x1b[31m"


@pytest.fixture(autouse=True)
def _own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_CORE_CACHE", str(tmp_path / "cache"))


# -- what exists


def listed(tmp_path, *methods, **more):
    return read(written(tmp_path, content(hub_far=plugin(*methods, **more))))


def test_what_exists_is_what_is_installed_and_what_is_listed(tmp_path):
    found = {one.name: one for one in available(installed(), listed(tmp_path))}
    assert found["toy-encoder"].state == "installed"
    assert found["toy-encoder"].install == found["toy-encoder"].provenance == ""
    assert found["toy-encoder"].source == ""
    assert found["far-away"].state == "available"
    assert found["far-away"].install == "hub plugins install hub-far"
    assert found["far-away"].source == "folder hub-far of https://example.org/far"
    assert found["far-away"].provenance == str(tmp_path / "other.json")


def test_a_disabled_plugin_is_not_offered_for_installation(monkeypatch):
    from hub_core.catalog import _discover

    monkeypatch.setenv("HUB_PLUGINS", "hub-toys")
    found = {one.plugin: one for one in available(Catalog(_discover()), shipped())}
    one = found["hub-basics"]
    why = "HUB_PLUGINS does not name it; add it there to use it"
    assert (one.state, one.reason, one.install) == ("disabled", why, "")
    assert found["hub-report"].kind == "command"
    assert (found["hub-report"].state, found["hub-report"].reason) == ("disabled", why)


def test_a_search_finds_every_word_and_names_first(tmp_path):
    far = listed(
        tmp_path,
        method(name="other", summary="Far-Away cousins"),
        method(name="third", summary="A third", requires=["own-tag"]),
        method(),
    )
    found = available(Catalog([]), far)
    assert [one.name for one in matching(found, ["FAR-away"])] == ["far-away", "other"]
    assert [one.name for one in matching(found, ["cousins strategy"])] == ["other"]
    assert [one.name for one in matching(found, ["own-tag"])] == ["third"]
    assert [one.name for one in matching(found, ["cousins", "third"])] == []
    assert len(matching(found, [])) == 3


# -- a missing plugin


def test_an_unknown_method_names_the_plugin_that_would_provide_it_and_imports_nothing(tmp_path):
    add(written(tmp_path), ask=yes)
    with pytest.raises(UnknownMethodError) as caught:
        Catalog([]).find("strategy", "far-away")
    assert caught.value.message == "no installed plugin provides a strategy named 'far-away'"
    assert caught.value.hint == (
        "hub-far provides it: 'hub plugins install hub-far' installs it; "
        "'hub methods --kind strategy' lists what is installed"
    )
    with pytest.raises(PluginError) as missing:
        Catalog([]).find("strategy", "hub-far:far-away")
    assert missing.value.message == "no plugin named 'hub-far' is installed"
    assert missing.value.hint == "a registry lists it: 'hub plugins install hub-far' installs it"
    assert "hub_far" not in sys.modules


# -- commands


def ran(command, *arguments, **more):
    done = CliRunner().invoke(command, [*map(str, arguments)], **more)
    assert done.exception is None, done.output
    return done


def test_methods_available_tells_what_is_here_and_what_is_not(tmp_path):
    told = ran(methods, "--available", "--registry", written(tmp_path), "--yes").stdout
    assert re.search(r"^kind +name +summary +plugin +version +here$", told, re.M)
    assert re.search(
        r"^strategy +far-away +From far away +hub-far +1\.0 +not installed$", told, re.M
    )
    assert re.search(
        r"^backbone +toy-encoder +Toy: toy-encoder +hub-toys +0\.1\.0 +installed$", told, re.M
    )
    found = json.loads(ran(methods, "--available", "--json", "--kind", "strategy").stdout)
    [one] = [one for one in found if one["name"] == "far-away"]  # the registry is remembered
    assert (one["installed"], one["install"]) == (False, "hub plugins install hub-far")
    assert one["source"] == "folder hub-far of https://example.org/far"
    assert {one["kind"] for one in found} == {"strategy"}


def test_the_question_is_answered_by_a_user_and_by_nobody(tmp_path):
    path = written(tmp_path)
    done = CliRunner().invoke(methods, ["--registry", str(path)], input="")
    assert isinstance(done.exception, RegistryError)
    assert done.exception.message == f"the registry {path} was not accepted"
    assert "far-away" in ran(methods, "--registry", path, input="y\n").stdout


def test_a_search_tells_how_to_get_what_is_found(tmp_path):
    registry = written(
        tmp_path, content(hub_far=plugin(method(requires=["linears"], paper="A 2001")))
    )
    told = ran(search, "FAR", "--registry", registry, "--yes").stdout
    assert told == (
        "far-away  strategy of hub-far 1.0, not installed\n"
        "  From far away\n"
        "  needs      linears\n"
        "  paper      A 2001\n"
        "  install    hub plugins install hub-far\n"
        "  from       folder hub-far of https://example.org/far\n"
        f"  listed in  {registry}\n"
    )
    [one] = json.loads(ran(search, "far", "--json").stdout)
    assert (one["name"], one["requires"]) == ("far-away", ["linears"])
    nothing = ran(search, "no-such-thing")
    assert nothing.stderr == "Nothing that is installed or listed fits 'no-such-thing'.\n"
    assert [one["kind"] for one in json.loads(ran(search, "hub-report", "--json").stdout)] == [
        "command"
    ]


OPTIONS = {
    "type": "object",
    "properties": {
        "rank": {"type": "integer", "minimum": 1, "default": 8, "description": "how wide"},
        "where": {"enum": ["up", "down"], "description": "which way"},
    },
    "required": ["where"],
}


def test_show_explains_a_method_that_is_not_installed(tmp_path):
    far = plugin(
        method(options=OPTIONS, requires=["linears", "hub-far:own", "newer"]),
        sha256=HASH,
        source={"kind": "index", "index": "https://example.org/simple"},
    )
    registry = written(tmp_path, content(hub_far=far))
    told = ran(show, "far-away", "--registry", registry, "--yes").stdout
    assert re.search(r"^  rank +integer +8 +>= 1 +how wide$", told, re.M)
    assert re.search(r"^  where +up \| down +must be given +which way$", told, re.M)
    assert re.search(r"^  linears +its layers are made of linear layers$", told, re.M)
    assert re.search(r"^  hub-far:own +what hub-far calls own$", told, re.M)
    assert re.search(r"^  newer +not known to this hub-core$", told, re.M)
    assert re.search(r"^plugin +hub-far 1\.0, not installed$", told, re.M)
    assert f"hub-far 1.0 from the index https://example.org/simple, sha256 {HASH}\n" in told
    assert '  [[strategies]]\n  name = "far-away"\n  where = "…"\n' in told
    assert told.endswith("\ninstall it with\n  hub plugins install hub-far\n")
    assert "pip" not in told
    found = json.loads(ran(show, "hub-far:far-away", "--json").stdout)
    assert (found["distribution"], found["installed"]) == ("hub-far", False)
    assert [option["name"] for option in found["options"]] == ["rank", "where"]


def test_show_of_an_installed_method_ends_with_how_to_start_a_recipe():
    told = ran(show, "toy-encoder").stdout
    assert told.endswith("\na whole recipe\n  hub init --backbone toy-encoder\n")


def test_show_asks_which_of_several_listed_methods_is_meant(tmp_path, capsys):
    registry = written(tmp_path, content(hub_far=plugin(), hub_near=plugin()))
    assert main(["show", "far-away", "--registry", str(registry), "--yes"]) == 1
    assert capsys.readouterr().err == (
        "Error: 'far-away' is not installed, and listed as a strategy of hub-far and a strategy of "
        "hub-near\nHint: write 'hub-far:far-away' --kind strategy or 'hub-near:far-away' --kind "
        "strategy\n"
    )


# -- the page


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def hostile_page(tmp_path):
    value = {"type": "string", "default": HOSTILE, "description": HOSTILE, "enum": [HOSTILE]}
    one = method(summary=HOSTILE, paper="javascript:alert(1)", options={"properties": {"a": value}})
    far = listed(tmp_path, one, method(name="b", paper=f"https://x.org/{HOSTILE}"),
                 maintainers=[HOSTILE], licence=HOSTILE)  # fmt: skip
    return page(available(installed(), far))


def test_the_page_escapes_whatever_plugins_say(tmp_path):
    text = hostile_page(tmp_path)
    tags = Tags(text).found
    assert [attrs for tag, attrs in tags if tag in ("img", "iframe", "object", "base")] == []
    assert [attrs for tag, attrs in tags if tag == "script"] == [{}]
    assert not [a for _, attrs in tags for a in attrs if a.startswith("on")]
    for tag, attrs in tags:
        if tag == "a":
            assert attrs["href"].startswith("https://")
    assert "alert(&#x27;x&#x27;)" in text
    assert "Grüße 漢字" in text


def test_the_page_refers_to_nothing_outside(tmp_path):
    text = hostile_page(tmp_path)
    for tag, attrs in Tags(text).found:
        assert tag != "link"
        assert not {"src", "srcset", "data", "action", "poster", "background"} & {*attrs}
    assert "url(" not in text
    assert "@import" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; ")


def test_every_field_and_column_of_the_page_has_a_name(tmp_path):
    text = hostile_page(tmp_path)
    labels = re.findall(r"<label[^>]*>(\w+)<(input|select)", text)
    fields = [tag for tag, _ in Tags(text).found if tag in ("input", "select")]
    assert [kind for _, kind in labels] == fields
    assert len(fields) == 5
    assert 'role="status"' in text
    assert '<html lang="en">' in text


def test_only_a_page_of_ours_is_replaced(tmp_path):
    path = tmp_path / "out.html"
    told = ran(methods, "--web", path)
    assert re.fullmatch(r"Wrote .*out\.html with \d+ methods\.\n(?s:.*)", told.stderr)
    ran(methods, "--web", path)
    path.write_text("a diary", "utf-8")
    with pytest.raises(HubError) as caught:
        write(path, "")
    assert caught.value.message == f"{path} exists already, and is no page of 'hub methods'"
    assert path.read_text("utf-8") == "a diary"
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
