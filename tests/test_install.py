"""Plugins come from where a registry or a person says, and are looked at before they are installed.

Everything is installed into one throw-away environment on top of this one, without a network.
"""

import json
import os

import pytest
from handmade import Environment, by_api, listed, refusal, sha256, told, versions, wheel

from hub_core.install import InstallError
from hub_core.install.content import of_wheel
from hub_core.registry import PluginEntry, Registry, Source


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("install"))


@pytest.fixture
def environment(fresh):
    """The environment, without anything that a test installed before."""
    yield fresh
    fresh.clear()


# -- a wheel


def test_a_wheel_is_installed_by_its_hash_listed_used_and_removed(environment, tmp_path):
    path = wheel(tmp_path)
    done = environment.hub("plugins", "install", path, "--yes")
    assert (done.returncode, done.stdout) == (0, "installed hub-far 1.0\n")
    [command] = [line for line in done.stderr.splitlines() if line.startswith("$ ")]
    start = f"$ {environment.python} -m pip install --no-deps --require-hashes --requirement "
    assert command.startswith(start)
    assert versions(environment) == {"hub-far": "1.0"}
    assert "far-away" in environment.hub("methods").stdout
    done = environment.hub("plugins", "uninstall", "hub-far")
    assert (done.returncode, done.stdout) == (0, "removed hub-far 1.0\n")
    assert f"$ {environment.python} -m pip uninstall --yes hub-far" in done.stderr.splitlines()
    assert [path.name for path in environment.site.iterdir()] == ["below.pth"]


def test_a_dry_run_shows_the_command_and_its_file_and_changes_nothing(environment, tmp_path):
    path = wheel(tmp_path)
    before = environment.files()
    done = environment.hub("plugins", "install", path, "--dry-run")
    assert (done.returncode, done.stdout) == (
        0,
        "hub-far 1.0 would be installed, nothing was changed; it would be asked about: "
        f"no registry lists hub-far 1.0 with the sha256 of {path}\n",
    )
    command, comment = done.stderr.splitlines()
    assert command.startswith(f"$ {environment.python} -m pip install --no-deps --require-hashes ")
    assert comment.endswith(f" holds: hub-far @ {path.as_uri()} --hash=sha256:{sha256(path)}")
    assert environment.files() == before


def test_what_no_registry_lists_is_not_installed_unasked(environment, tmp_path):
    path = wheel(tmp_path)
    before = environment.files()
    done = environment.hub("plugins", "install", path)
    reason = f"no registry lists hub-far 1.0 with the sha256 of {path}"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"N{reason[1:]}. An installed plugin can do everything that you can do. "
        "Install hub-far 1.0? [y/N]: no, since nobody is there to answer\n"
        f"Error: hub-far 1.0 was not installed: {reason}\n"
        "Hint: look at where it comes from, then answer y or give --yes\n"
    )
    assert environment.files() == before


def test_a_wheel_with_a_listed_hash_is_not_asked_about(environment, tmp_path):
    path = wheel(tmp_path)
    values = {"format": 1, "plugins": listed("https://example.org/f.whl", sha256=sha256(path))}
    (tmp_path / "registry.json").write_text(json.dumps(values), "utf-8")
    refused = environment.hub("plugins", "install", path, "--registry", tmp_path / "registry.json")
    assert told(refused).startswith(f"Error: the registry {tmp_path / 'registry.json'} was not")
    code, lines = by_api(environment, str(path), listed(path, sha256=sha256(path)))
    assert (code, lines[-1]) == (0, "installed hub-far 1.0")
    assert not [line for line in lines if line.startswith("asked")]


def test_a_wheel_that_differs_from_what_is_listed_is_refused_even_with_yes(environment, tmp_path):
    path = wheel(tmp_path)
    values = {"format": 1, "plugins": listed("https://example.org/f.whl")}
    registry = tmp_path / "registry.json"
    registry.write_text(json.dumps(values), "utf-8")
    done = environment.hub("plugins", "install", path, "--registry", registry, "--yes")
    assert told(done) == (
        f"Error: {path} has sha256 {sha256(path)}, but {registry} lists hub-far 1.0 with "
        f"{'0' * 64}\nHint: do not install it; fetch it from where the registry says"
    )
    assert versions(environment) == {}


def test_another_version_than_the_listed_one_is_asked_about(environment, tmp_path):
    path = wheel(tmp_path, version="1.1")
    code, lines = by_api(environment, str(path), listed(path))
    doubt = f"no registry lists hub-far 1.1 with the sha256 of {path}"
    assert (code, lines[-2]) == (1, f"hub-far 1.1 was not installed: {doubt}")


def test_a_wheel_that_is_none_or_not_what_its_name_says_is_refused(tmp_path):
    def refusal(path):
        with pytest.raises(InstallError) as caught:
            of_wheel(path)
        return caught.value.message, caught.value.hint

    hint = "'python -m pip wheel --no-deps FOLDER' builds one"
    (tmp_path / "hub_far-1.0-py3-none-any.whl").write_text("not a zip")
    none = tmp_path / "hub_far-1.0-py3-none-any.whl"
    assert refusal(none) == (f"{none} is no wheel", hint)
    odd = wheel(tmp_path, file_name="odd.whl")
    assert refusal(odd) == (f"{odd} is no wheel", hint)
    for name in ("hub_near-1.0-py3-none-any.whl", "hub_far-2.0-py3-none-any.whl"):
        path = wheel(tmp_path, file_name=name)
        assert refusal(path) == (
            f"{path} holds hub-far 1.0, which is not what its name says",
            "do not install it; fetch it from where its authors publish it",
        )
    path = wheel(tmp_path)
    data = path.read_bytes().replace(b"Something", b"Somethinh", 1)
    path.write_bytes(data)
    assert refusal(path) == (f"{path} is damaged at hub_far/plugin.py", "fetch it again")


# -- what is checked before anything is installed


def test_a_wheel_without_a_plugin_is_refused(tmp_path):
    path = wheel(tmp_path, points="[console_scripts]\nfar = hub_far:main\n")
    assert refusal(path) == (
        f"{path} is no plugin: it has no entry point in the group hub_core or hub_core.commands",
        "nothing was installed",
    )


def test_a_wheel_that_would_replace_what_is_no_plugin_is_refused(tmp_path):
    path = wheel(tmp_path, "click", "99.0", points="[hub_core]\nclick = click.plugin\n")
    message, hint = refusal(path)
    assert message.startswith(f"{path} would replace click ")
    assert message.endswith(", which is no plugin")
    assert hint == "do not install it"


@pytest.mark.parametrize("where", ["pluggy", "hub_far-1.0.data/purelib/pluggy"])
def test_a_wheel_with_files_of_another_distribution_is_refused(tmp_path, where):
    import pluggy

    path = wheel(tmp_path, files={f"{where}/__init__.py": ""})
    assert refusal(path) == (
        f"{path} would replace {pluggy.__file__}, which is not its own",
        "do not install it; tell its authors",
    )


def test_a_plugin_for_another_core_is_refused(tmp_path):
    path = wheel(tmp_path, requires=("hub-core>=7",))
    assert refusal(path) == (
        "hub-far 1.0 needs hub-core >=7, this is 0.1.0",
        "take a version of hub-far for it, or change hub-core first; "
        "nothing that is installed is replaced",
    )


def test_a_plugin_for_another_version_of_an_installed_library_is_refused(tmp_path):
    from importlib.metadata import version

    path = wheel(tmp_path, requires=("torch>=99", "click; python_version < '3'"))
    assert refusal(path)[0] == f"hub-far 1.0 needs torch >=99, installed is {version('torch')}"


def test_a_requirement_with_an_address_or_that_cannot_be_read_is_refused(tmp_path):
    path = wheel(tmp_path, requires=("odd @ https://example.org/odd.whl",))
    assert refusal(path) == (
        "hub-far 1.0 needs odd from https://example.org/odd.whl, which no registry lists",
        "install odd yourself first",
    )
    path = wheel(tmp_path, requires=("odd ==>= 1",))
    assert refusal(path)[0] == f"{path} has a requirement that cannot be read: 'odd ==>= 1'"


def test_a_plugin_that_needs_a_listed_plugin_never_gets_it_from_an_index(tmp_path):
    path = wheel(tmp_path, requires=("hub_Near",))
    source = Source(kind="repository", url="https://example.org/near")
    registry = Registry(plugins={"hub-near": PluginEntry(version="1.0", source=source)})
    assert refusal(path, registry) == (
        "hub-far 1.0 needs the plugin hub-near, which is not installed",
        "'hub plugins install hub-near' first",
    )


def test_a_plugin_or_command_of_a_name_that_is_taken_is_refused(tmp_path):
    path = wheel(tmp_path, points="[hub_core]\nhub-toys = hub_far.plugin\n")
    assert refusal(path) == (
        "hub-far 1.0 brings a plugin named hub-toys, and so does hub-toys, which is installed",
        "'hub plugins uninstall hub-toys' makes room for it",
    )
    path = wheel(tmp_path, points="[hub_core.commands]\nserve = hub_far.plugin:x\n")
    assert refusal(path)[0] == (
        "hub-far 1.0 brings a command named serve, and so does hub-server, which is installed"
    )


# -- what a name means


def test_a_name_that_no_registry_lists_never_becomes_a_requirement(tmp_path, monkeypatch):
    assert refusal("hub-nowhere") == (
        "no registry lists a plugin named 'hub-nowhere'",
        "name its wheel or its folder, or give a registry that lists it with --registry",
    )
    source = Source(kind="repository", url="https://example.org/near")
    method = {"kind": "strategy", "name": "near-by", "summary": "Near"}
    entry = PluginEntry.model_validate({"version": "1.0", "source": source, "methods": [method]})
    registry = Registry(plugins={"hub-near": entry})
    assert refusal("hub-nea", registry)[1] == "did you mean 'hub-near'?"
    assert refusal("near-by", registry)[1] == "'near-by' is a method of hub-near"
    assert refusal("hub-near==1.0", registry)[1] == (
        "give the name alone: the registry says which version it is"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub-here").mkdir()
    assert refusal("hub-here") == (
        "no registry lists a plugin named 'hub-here'",
        f"the folder of that name is .{os.sep}hub-here",
    )
    assert refusal("https://example.org/hub.whl") == (
        "'https://example.org/hub.whl' is an address, which nothing vouches for",
        "download it and name the file, or give a registry that lists it with --registry",
    )
    assert refusal(tmp_path / "no.whl")[0] == f"there is no wheel at {tmp_path / 'no.whl'}"
    assert refusal(tmp_path / "no")[0] == f"there is no folder at {tmp_path / 'no'}"


def test_a_listed_wheel_is_fetched_with_its_hash_and_nothing_else(environment, tmp_path):
    path = wheel(tmp_path)
    code, lines = by_api(environment, "hub_Far", listed(path, sha256=sha256(path)))
    assert (code, lines[-1]) == (0, "installed hub-far 1.0")
    look, real = [line for line in lines if line.startswith("$ ")]
    assert "--only-binary :all: --no-deps --require-hashes" in look
    assert real.startswith(f"$ {environment.python} -m pip install --no-deps --require-hashes ")
    again = by_api(environment, "hub-far", listed(path, sha256=sha256(path)))
    assert again == (0, ["hub-far 1.0 is installed already"])


def test_a_plugin_on_an_index_is_fetched_from_that_index_with_its_hash(environment, tmp_path):
    path = wheel(tmp_path / "files")
    page = tmp_path / "simple" / "hub-far" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<!DOCTYPE html><a href="{path.as_uri()}">{path.name}</a>')
    source = {"kind": "index", "index": (tmp_path / "simple").as_uri()}
    entries = listed(path, source=source, sha256=sha256(path))
    code, lines = by_api(environment, "hub-far", entries, PIP_NO_INDEX="0")
    assert (code, lines[-1]) == (0, "installed hub-far 1.0")
    assert f"--index-url {source['index']}" in lines[0]


@pytest.mark.parametrize("what", ["another hash", "no network"])
def test_a_listed_wheel_that_cannot_be_had_changes_nothing(environment, tmp_path, what):
    place = (
        wheel(tmp_path)
        if what == "another hash"
        else "https://127.0.0.1:9/hub_far-1.0-py3-none-any.whl"
    )
    before = environment.files()
    code, lines = by_api(environment, "hub-far", listed(place))
    assert (code, lines[-2:]) == (
        1,
        ["hub-far 1.0 cannot be fetched with the sha256 that the registry of the tests lists",
         "what pip said stands above: there is no connection, or the file is another one; "
         "nothing was installed"],
    )  # fmt: skip
    assert environment.files() == before


def test_a_listed_wheel_that_is_another_distribution_is_refused(environment, tmp_path):
    path = wheel(tmp_path, "hub-other", file_name="hub_far-1.0-py3-none-any.whl")
    code, lines = by_api(environment, "hub-far", listed(path, sha256=sha256(path)))
    assert code == 1
    assert lines[-1].endswith("nothing was installed")
    assert versions(environment) == {}
