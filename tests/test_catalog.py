"""Plugins are found, broken ones are isolated, and every question about them gets a sentence."""

import re
import sys
from importlib import metadata

import pytest

import hub_core
from hub_core import catalog as module_under_test
from hub_core import disabled
from hub_core.catalog import Catalog, Plugin, _discover
from hub_core.declare import Method
from hub_core.errors import (
    AmbiguousMethodError,
    OptionsError,
    PluginError,
    UnknownMethodError,
)

GOOD = """
from hub_core.spec import Method, hookimpl

@hookimpl
def hub_strategies():
    yield Method(name="{method}", summary="Something", factory="{module}_parts:Part",
                 options="{module}_options:Mine")
"""
OPTIONS = '''
from typing import Literal
from pydantic import Field, model_validator
from hub_core.options import Options

class Mine(Options):
    """What it sets."""

    model: str = Field(description="must be given")
    rank: int = Field(8, ge=1, le=64, description="width")
    bias: Literal["none", "all"] = Field("none", description="which biases train")

    @model_validator(mode="after")
    def _fits(self):
        if self.bias == "all" and self.rank == 1:
            raise ValueError("bias needs a rank of 2 or more")
        return self
'''


class Site:
    """A folder of installed distributions, and the catalog of what is in it."""

    def __init__(self, folder, number):
        self.folder = folder
        self.number = number
        self.modules = []

    def add(self, name, code=GOOD, *, method="tune", requires=("hub-core>=0.1",), **more):
        """Install a distribution with one plugin; return the name of the plugin's module."""
        folder = self.folder / more.get("place", "site")
        point = more.get("point", name)
        module = f"{re.sub('[-.]', '_', name)}_{self.number}_{len(self.modules)}"
        self.modules.append(module)
        info = folder / f"{module}-{more.get('version', '1.0')}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {more.get('version', '1.0')}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        lines += ["", more.get("description", "")]
        if "metadata" not in more:
            (info / "METADATA").write_text("\n".join(lines), "utf-8")
        (info / "entry_points.txt").write_text(f"[hub_core]\n{point} = {module}\n", "utf-8")
        code = code.replace("{method}", method).replace("{module}", module)
        (folder / f"{module}.py").write_text(code, "utf-8")
        (folder / f"{module}_options.py").write_text(more.get("options", OPTIONS), "utf-8")
        (folder / f"{module}_parts.py").write_text(more.get("parts", "class Part: pass"), "utf-8")
        return module

    def catalog(self):
        return Catalog(_discover())


@pytest.fixture
def site(tmp_path, monkeypatch, request):
    found = Site(tmp_path, abs(hash(request.node.name)))
    places = [str(tmp_path / "site"), str(tmp_path / "behind")]
    for place in reversed(places):
        monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(
        module_under_test.metadata,
        "distributions",
        lambda: metadata.MetadataPathFinder.find_distributions(
            metadata.DistributionFinder.Context(path=places)
        ),
    )
    monkeypatch.delenv("HUB_PLUGINS", raising=False)
    before = set(sys.modules)
    yield found
    for name in set(sys.modules) - before:
        if name.startswith(tuple(found.modules) or "-"):
            del sys.modules[name]


def only(catalog):
    [plugin] = catalog.plugins(imported=True)
    return plugin


def names(catalog):
    return [provided.full_name for provided in catalog.methods()]


def broken(site, code):
    """Return why a plugin with this code is broken."""
    site.add("hub-x", code)
    plugin = only(site.catalog())
    assert plugin.status == "broken"
    return plugin.reason


def test_a_plugin_is_found_with_where_it_comes_from(site):
    module = site.add("Hub_Mine.Own", point="hub-mine", version="2.1")
    catalog = site.catalog()
    assert catalog.plugins() == [Plugin("hub-mine", module, "hub-mine-own", "2.1")]
    [provided] = catalog.methods("strategy")
    assert (provided.kind, provided.full_name) == ("strategy", "hub-mine:tune")
    assert catalog.find("strategy", "tune") is provided
    assert catalog.find("strategy", "hub-mine:tune") is provided
    assert provided.factory().__name__ == "Part"
    assert provided.options({"model": "m"}).rank == 8
    assert catalog.methods("head") == []


def test_distributions_without_plugins_are_no_plugins(site):
    site.add("hub-x")
    info = site.folder / "site" / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nother = other:main\n")
    assert [plugin.name for plugin in site.catalog().plugins()] == ["hub-x"]


# -- broken plugins


def test_an_import_error_is_told_and_the_others_still_work(site):
    site.add("hub-a", method="one")
    site.add("hub-b", "import hub_library_that_is_not_there")
    site.add("hub-c", method="three")
    catalog = site.catalog()
    assert names(catalog) == ["hub-a:one", "hub-c:three"]
    [bad] = [plugin for plugin in catalog.plugins() if plugin.status != "ok"]
    assert (bad.name, bad.status) == ("hub-b", "broken")
    assert bad.reason == ("ModuleNotFoundError: No module named 'hub_library_that_is_not_there'")


def test_a_plugin_counts_as_ok_until_it_is_imported(site):
    site.add("hub-x", "raise RuntimeError('at import')")
    catalog = site.catalog()
    assert [plugin.status for plugin in catalog.plugins()] == ["ok"]
    assert only(catalog).reason == "RuntimeError: at import"


def test_a_misspelt_hook_is_told(site):
    code = GOOD.replace("hub_strategies", "hub_strategys")
    assert broken(site, code) == (
        "TypeError: there is no hook hub_strategys; did you mean 'hub_strategies'?"
    )


def test_a_hook_without_its_mark_is_told(site):
    code = GOOD.replace("@hookimpl\n", "")
    assert broken(site, code) == "TypeError: hub_strategies lacks @hookimpl"


def test_a_wrong_hook_argument_is_told(site):
    reason = broken(site, GOOD.replace("hub_strategies()", "hub_strategies(model)"))
    assert "hub_strategies(model)" in reason
    assert "Argument(s) {'model'} are declared in the hookimpl but can not be found" in reason
    assert "\n" not in reason


def test_a_raising_hook_is_told(site):
    code = GOOD.replace("    yield", "    raise KeyError('rank')\n    yield")
    assert broken(site, code) == "KeyError: 'rank'"


def test_a_plugin_that_ends_the_process_is_only_broken(site):
    assert broken(site, "raise SystemExit('I need another Python')") == (
        "SystemExit: I need another Python"
    )


def test_ctrl_c_during_an_import_is_no_broken_plugin(site):
    site.add("hub-x", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.catalog().methods()


def test_what_plugins_print_never_reaches_stdout(site, capsys):
    site.add(
        "hub-x",
        "print('import')\n" + GOOD.replace("    yield", "    print('hook')\n    yield"),
        options="print('options')\n" + OPTIONS,
        parts="print('factory')\nclass Part: pass",
    )
    [provided] = site.catalog().methods()
    provided.options({"model": "m"})
    provided.factory()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split() == ["import", "hook", "options", "factory"]


def test_a_hook_that_yields_something_else_is_told(site):
    code = "from hub_core.spec import hookimpl\n@hookimpl\ndef hub_heads():\n    yield 'tune'\n"
    assert broken(site, code) == "TypeError: hub_heads must yield Method, not str"


def test_two_methods_of_one_name_in_a_plugin_are_told(site):
    code = GOOD + GOOD[GOOD.index("    yield") :]
    assert broken(site, code) == "ValueError: hub_strategies yields two methods named 'tune'"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("{method}", "My_Method"),
         "ValueError: method name 'My_Method': use lowercase letters, digits, hyphens"),
        (("Something", ""),
         "ValueError: method tune: the summary must be one line of 1 to 72 letters"),
        (("{module}_parts:Part", "parts.Part"),
         "ValueError: method tune: factory must read 'module:Class'"),
        (("{module}_options:Mine", ":Mine"),
         "ValueError: method tune: options must read 'module:Class'"),
    ],
)  # fmt: skip
def test_a_method_that_breaks_a_rule_is_told(site, change, reason):
    assert broken(site, GOOD.replace(*change)) == reason


def test_one_name_may_be_a_strategy_and_a_head_of_the_same_plugin(site):
    head = GOOD.replace("hub_strategies", "hub_heads")
    site.add("hub-x", GOOD + head)
    assert [p.kind for p in site.catalog().methods()] == ["head", "strategy"]


def test_a_plugin_whose_metadata_are_damaged_is_still_told_about(site):
    site.add("hub-x", metadata="none")
    plugin = only(site.catalog())
    assert (plugin.distribution, plugin.version) == ("unnamed", "unknown")
    assert plugin.status in {"ok", "broken"}


# -- plugins for another core


def test_a_plugin_for_a_newer_core_is_incompatible_and_never_imported(site):
    module = site.add("hub-x", "raise AssertionError", requires=["click", "hub-core>=7,<8"])
    plugin = only(site.catalog())
    assert (plugin.status, plugin.reason) == (
        "incompatible",
        f"it needs hub-core <8,>=7, this is {hub_core.__version__}",
    )
    assert module not in sys.modules


@pytest.mark.parametrize(
    "requirement",
    ["hub-core", "Hub_Core>=0.0.1", "hub.core[default] <99", "hub-core>=99; extra == 'next'",
     "hub-core>=99; python_version < '3'", "hub-core-extras>=99", "hub-coreutils>=99"],
)  # fmt: skip
def test_requirements_that_this_core_meets_or_that_are_not_about_it(site, requirement):
    site.add("hub-x", requires=[requirement])
    assert only(site.catalog()).status == "ok"


def test_a_description_is_no_requirement(site):
    site.add("hub-x", requires=(), description="Before:\n\nRequires-Dist: hub-core>=99\n")
    assert only(site.catalog()).status == "ok"


def test_a_requirement_that_cannot_be_read_makes_a_plugin_broken(site):
    site.add("hub-x", requires=["hub-core >== 1"])
    plugin = only(site.catalog())
    assert (plugin.status, plugin.reason) == ("broken", "its metadata cannot be read")


# -- several plugins


def test_two_providers_of_a_name_are_both_listed_and_the_bare_name_is_refused(site):
    site.add("hub-a")
    site.add("hub-b")
    catalog = site.catalog()
    assert names(catalog) == ["hub-a:tune", "hub-b:tune"]
    with pytest.raises(AmbiguousMethodError) as caught:
        catalog.find("strategy", "tune")
    assert caught.value.message == "strategy 'tune' is provided by 2 plugins"
    assert caught.value.hint == "write 'hub-a:tune' or 'hub-b:tune'"
    assert catalog.find("strategy", "hub-b:tune").plugin.name == "hub-b"


def test_the_second_distribution_with_a_plugin_of_the_same_name_is_told(site):
    site.add("first", point="hub-x", method="one")
    site.add("second", point="hub-x", method="two", place="behind")
    catalog = site.catalog()
    assert names(catalog) == ["hub-x:one"]
    [other] = [plugin for plugin in catalog.plugins() if plugin.status != "ok"]
    assert (other.name, other.status, other.reason) == (
        "hub-x@second",
        "broken",
        "first brings a plugin of that name too",
    )


def test_a_distribution_further_down_the_path_is_shadowed(site):
    site.add("hub-x", version="2.0", method="new")
    site.add("hub-x", version="1.0", method="old", place="behind")
    catalog = site.catalog()
    assert [plugin.version for plugin in catalog.plugins()] == ["2.0"]
    assert names(catalog) == ["hub-x:new"]


def test_methods_come_by_kind_then_name_whatever_the_order_of_installation(site):
    site.add("hub-z", method="a")
    site.add("hub-y", GOOD.replace("hub_strategies", "hub_backbones"), method="z")
    site.add("hub-x", method="b")
    assert names(site.catalog()) == ["hub-y:z", "hub-z:a", "hub-x:b"]


def test_hub_plugins_names_the_only_plugins_that_are_used(site, monkeypatch):
    site.add("hub-a", method="one")
    module = site.add("hub-b", "raise AssertionError")
    monkeypatch.setenv("HUB_PLUGINS", " hub-a, hub-c")
    catalog = site.catalog()
    assert names(catalog) == ["hub-a:one"]
    assert [(p.name, p.status, p.reason) for p in catalog.plugins()] == [
        ("hub-a", "ok", ""),
        ("hub-b", "disabled", "HUB_PLUGINS does not name it; add it there to use it"),
    ]
    assert module not in sys.modules


def test_an_empty_hub_plugins_uses_none(site, monkeypatch):
    site.add("hub-a")
    monkeypatch.setenv("HUB_PLUGINS", "")
    assert names(site.catalog()) == []


# -- asking for what is not there


def test_an_unknown_method_is_told_with_the_nearest_name(site):
    site.add("hub-a", method="gradual-tune")
    with pytest.raises(UnknownMethodError) as caught:
        site.catalog().find("strategy", "gradual-tun")
    assert caught.value.message == "no installed plugin provides a strategy named 'gradual-tun'"
    assert caught.value.hint == (
        "did you mean 'gradual-tune'?; 'hub methods --kind strategy' lists what is installed"
    )


def test_a_method_of_another_kind_is_pointed_out(site):
    site.add("hub-a")
    with pytest.raises(UnknownMethodError) as caught:
        site.catalog().find("compressor", "tune")
    assert caught.value.message == "no installed plugin provides a compressor named 'tune'"
    assert caught.value.hint == (
        "there is a strategy of that name; 'hub methods --kind compressor' lists what is installed"
    )


def test_an_unknown_method_may_be_one_of_a_broken_plugin_so_those_are_told(site):
    site.add("hub-a", "import hub_library_that_is_not_there")
    with pytest.raises(UnknownMethodError) as caught:
        site.catalog().find("strategy", "tune")
    assert caught.value.hint == (
        "plugin hub-a is broken "
        "(ModuleNotFoundError: No module named 'hub_library_that_is_not_there'); "
        "'hub methods --kind strategy' lists what is installed"
    )


def test_a_method_that_the_named_plugin_does_not_have(site):
    site.add("hub-a", method="one")
    site.add("hub-b", method="two")
    with pytest.raises(UnknownMethodError) as caught:
        site.catalog().find("strategy", "hub-a:two")
    assert caught.value.message == "plugin hub-a provides no strategy named 'two'"
    assert caught.value.hint == "'hub methods --kind strategy' lists what is installed"


def test_asking_a_broken_plugin_for_something_gives_the_reason(site):
    site.add("hub-a", "raise OSError('no library')", version="0.3")
    with pytest.raises(PluginError) as caught:
        site.catalog().find("strategy", "hub-a:tune")
    assert caught.value.message == "plugin hub-a is broken: OSError: no library"
    assert caught.value.hint == "repair or uninstall hub-a 0.3"


def test_asking_a_plugin_that_is_off_says_how_to_switch_it_on(site, tmp_path, monkeypatch):
    site.add("hub-a", "raise AssertionError")
    monkeypatch.setenv("HUB_CORE_CONFIG", str(tmp_path / "settings"))
    disabled.disable("hub-a")
    with pytest.raises(PluginError) as caught:
        site.catalog().find("strategy", "hub-a:tune")
    assert caught.value.message == "plugin hub-a is disabled: switched off"
    assert caught.value.hint == "'hub plugins enable hub-a' uses it again"
    monkeypatch.setenv("HUB_PLUGINS", "hub-b")
    with pytest.raises(PluginError) as caught:
        site.catalog().find("strategy", "hub-a:tune")
    assert caught.value.message == "plugin hub-a is disabled: HUB_PLUGINS does not name it"
    assert caught.value.hint == "add it there to use it"


def test_asking_a_plugin_that_is_not_installed(site):
    site.add("hub-tuning")
    with pytest.raises(PluginError) as caught:
        site.catalog().find("strategy", "hub-tunin:tune")
    assert caught.value.message == "no plugin named 'hub-tunin' is installed"
    assert caught.value.hint == "did you mean 'hub-tuning'?"
    with pytest.raises(PluginError) as caught:
        site.catalog().find("strategy", "qqq:tune")
    assert caught.value.hint == "'hub plugins' lists the installed ones"


# -- options and factories


def test_options_that_do_not_fit_are_told_all_at_once_with_near_names(site):
    site.add("hub-a")
    [provided] = site.catalog().methods()
    with pytest.raises(OptionsError) as caught:
        provided.options({"rank": 0, "bias": "some", "ranc": 4, "nothing-like-it": 1})
    assert caught.value.message == (
        "strategy tune: these options do not fit:\n"
        "  - model: must be given\n"
        "  - rank = 0: input should be greater than or equal to 1\n"
        "  - bias = 'some': input should be 'none' or 'all'\n"
        "  - ranc: there is no such option; did you mean 'rank'?\n"
        "  - nothing-like-it: there is no such option"
    )
    assert caught.value.hint == "'hub show tune' lists every option with its bounds"


def test_options_that_do_not_fit_each_other_are_told(site):
    site.add("hub-a")
    [provided] = site.catalog().methods()
    with pytest.raises(OptionsError) as caught:
        provided.options({"model": "m", "rank": 1, "bias": "all"})
    assert caught.value.message == (
        "strategy tune: these options do not fit:\n  - together: bias needs a rank of 2 or more"
    )


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ("import hub_not_there", "ModuleNotFoundError: No module named 'hub_not_there'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "AttributeError: module '{module}_parts' has no attribute 'Part'"),
    ],
)
def test_a_factory_that_cannot_be_imported_is_told_when_it_is_used(site, parts, reason):
    module = site.add("hub-a", parts=parts)
    [provided] = site.catalog().methods()
    with pytest.raises(PluginError) as caught:
        provided.factory()
    assert caught.value.message == (
        f"plugin hub-a cannot load {module}_parts:Part for tune: "
        + reason.replace("{module}", module)
    )
    assert caught.value.hint == "reinstall hub-a, or report this to its authors"


def test_options_that_are_no_options_are_told(site):
    module = site.add("hub-a", options="class Mine: pass")
    [provided] = site.catalog().methods()
    with pytest.raises(PluginError) as caught:
        provided.options({})
    assert caught.value.message == (
        f"plugin hub-a: {module}_options:Mine is not derived from Options"
    )


# -- what a method may say


def test_unknown_tags_are_refused_where_they_are_declared():
    with pytest.raises(ValueError, match=r"^method tune: unknown tags \['weights'\]$"):
        Method(
            name="tune", summary="It", factory="a:B", options="a:C", requires=frozenset({"weights"})
        )


@pytest.mark.parametrize("name", ["", "Lower", "two--hyphens", "-first", "last-", "9first", "a_b"])
def test_names_that_no_method_may_have(name):
    with pytest.raises(ValueError, match="use lowercase letters, digits, hyphens"):
        Method(name=name, summary="It", factory="a:B", options="a:C")
