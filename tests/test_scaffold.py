"""A new plugin works as it is written; what cannot be used is refused and told."""

import ast
import json
import re
import subprocess
import sys
import zipfile

import pytest
from click.testing import CliRunner

from hub_core.cli.plugins.check import check
from hub_core.cli.plugins.entry import entry
from hub_core.cli.plugins.new import new
from hub_core.declare import KINDS
from hub_core.errors import ArtifactError, PluginError
from hub_core.scaffold.check import checked
from hub_core.scaffold.entry import code_hash, entry_of
from hub_core.scaffold.findings import failed
from hub_core.scaffold.names import USED, names_for
from hub_core.scaffold.project import read
from hub_core.scaffold.suites import run_suites
from hub_core.scaffold.visible import environment, told, visible
from hub_core.scaffold.wheels import look_into, wheel_findings
from hub_core.scaffold.write import TEMPLATES, files, render, write

A_KIND = pytest.mark.parametrize("kind", KINDS)


def made(folder, name="hub-mymethod", kind="strategy", method=""):
    return write(names_for(name, kind, method), folder)


def edited(path, before, after):
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def untested(folder):
    """What holds, tests left out, as check to reason; an empty reason where it holds."""
    return {f.check: f.reason for f in checked(folder, tests=False)}


def command(command, *arguments):
    done = CliRunner().invoke(command, [*map(str, arguments)], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done


# -- what is written


@A_KIND
def test_a_new_plugin_holds_all_that_is_checked_and_its_tests_pass(tmp_path, kind):
    findings = checked(made(tmp_path, kind=kind))
    assert [finding for finding in findings if finding.state != "holds"] == []
    groups = {finding.group for finding in findings}
    assert {"distribution", "wheel", "TestMymethod", "test_hub_mymethod"} <= groups


@A_KIND
def test_its_files_are_plain_python_without_a_placeholder_left(tmp_path, kind):
    folder = made(tmp_path, "hub-two-words", kind)
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    module = {"strategy": "part", "compressor": "part"}.get(kind, kind)
    assert paths == sorted(
        ["CHANGELOG.md", "README.md", "pyproject.toml", "hub_two_words/py.typed",
         *(f"hub_two_words/{n}.py" for n in ("__init__", "options", "plugin", module)),
         "tests/test_hub_two_words.py"]
    )  # fmt: skip
    for path in paths:
        text = (folder / path).read_text("utf-8")
        assert "{{" not in text
        assert "PACKAGE" not in text
        assert all(len(line) <= 100 for line in text.splitlines() if "hub train" not in line)
        if path.endswith(".py"):
            ast.parse(text)
    assert "class TwoWords(" in (folder / "hub_two_words" / f"{module}.py").read_text("utf-8")


@A_KIND
def test_a_class_never_takes_the_name_of_what_its_file_imports(kind):
    imported = {
        alias.name
        for path, text in files(names_for("hub-mymethod", kind)).items()
        if path.endswith(".py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name[0].isupper()
    }
    own = {"Mymethod", "MymethodOptions", "SimpleNamespace", "ClassVar"}
    suites = {f"{each.capitalize()}Tests" for each in KINDS}
    assert imported - own - suites <= USED
    for name in ("part", "head", "options", "none", "exception"):
        assert names_for(f"hub-{name}", kind).class_name == name.capitalize() + kind.capitalize()


def test_the_templates_are_in_the_wheel(tmp_path):
    assert all(path.suffix == ".txt" for path in TEMPLATES.rglob("*") if path.is_file())
    code = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"
    root = TEMPLATES.parent.parent.parent
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=root, check=True)
    [wheel] = tmp_path.glob("*.whl")
    wanted = {p.relative_to(root).as_posix() for p in TEMPLATES.rglob("*") if p.is_file()}
    assert wanted
    assert wanted <= set(look_into(wheel).names)


def test_a_template_with_a_name_that_has_no_value_is_an_error():
    assert render("{{a}} {b} {{a}}", {"a": "1"}) == "1 {b} 1"
    with pytest.raises(KeyError):
        render("{{other}}", {"a": "1"})


def test_the_command_tells_the_files_and_what_comes_next(tmp_path):
    done = command(new, "hub-mymethod", "--kind", "head", "--dir", tmp_path / "new")
    folder = tmp_path / "new" / "hub-mymethod"
    assert done.stdout.splitlines()[0] == f"{folder}: the head 'mymethod', in 9 files"
    assert "  hub_mymethod/head.py" in done.stdout.splitlines()
    assert done.stderr == f"\nNext:\n  hub plugins check {folder}\n"
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 9


def test_the_method_may_have_a_name_of_its_own(tmp_path):
    folder = made(tmp_path, "hub-mine", "strategy", "other-name")
    assert 'name="other-name"' in (folder / "hub_mine" / "plugin.py").read_text("utf-8")
    assert "class OtherName(Part)" in (folder / "hub_mine" / "part.py").read_text("utf-8")


# -- names and folders that cannot be used

RULE = (
    "it must be lowercase letters and digits in words that start with a letter, with single "
    "hyphens between them"
)
NO_PLUGIN = "cannot be the name of a plugin: "


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("Hub_Mine", f"'Hub_Mine' {NO_PLUGIN}{RULE}", "such as hub-mine"),
        ("hub--mine", f"'hub--mine' {NO_PLUGIN}{RULE}", "such as hub-mine"),
        ("../x", f"'../x' {NO_PLUGIN}{RULE}", "such as x"),
        ("", f"'' {NO_PLUGIN}{RULE}", "such as hub-mymethod"),
        ("2x", f"'2x' {NO_PLUGIN}{RULE}", "such as hub-mymethod"),
        ("hub-core", "'hub-core' would be taken for the core", "such as hub-mymethod"),
        ("hub-core-x", "'hub-core-x' would be taken for the core", "such as hub-mymethod"),
        ("hub-prune", "a distribution named 'hub-prune' is installed here already",
         "choose another name: two of one name cannot be installed together"),
        ("lambda", f"'lambda' {NO_PLUGIN}its package would be 'lambda', which is a word of the "
         "language", "such as hub-lambda"),
        ("json", f"'json' {NO_PLUGIN}its package would be 'json', which is a module of the "
         "standard library", "such as hub-json"),
        ("yaml", f"'yaml' {NO_PLUGIN}its package would be 'yaml', which can be imported here "
         "already", "such as hub-yaml"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_used_is_refused(tmp_path, name, message, hint):
    with pytest.raises(PluginError) as caught:
        made(tmp_path, name)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert list(tmp_path.iterdir()) == []


def test_a_method_that_exists_already_is_refused(tmp_path):
    with pytest.raises(PluginError) as caught:
        made(tmp_path, "hub-full")
    assert caught.value.message == "there is a strategy named 'full' already, from hub-basics"
    assert caught.value.hint == "name yours otherwise with --method"
    made(tmp_path, "hub-full", "compressor")  # of another kind, it is another method


def test_a_method_name_that_recipes_cannot_write_is_refused(tmp_path):
    with pytest.raises(PluginError) as caught:
        made(tmp_path, method="My Method")
    assert caught.value.message == f"'My Method' cannot be the name of a method: {RULE}"


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_nothing_is_ever_overwritten(tmp_path, there):
    target = tmp_path / "hub-mymethod"
    if there == "folder":
        target.mkdir()
    elif there == "file":
        target.write_text("mine", encoding="utf-8")
    else:
        try:
            target.symlink_to(tmp_path / "nowhere")
        except OSError:
            pytest.skip("links cannot be made here")
    with pytest.raises(PluginError) as caught:
        made(tmp_path)
    assert caught.value.message == f"{target} is there already, and nothing is ever overwritten"
    assert caught.value.hint == "choose another name, or another folder with --dir"
    assert [path.name for path in tmp_path.iterdir()] == ["hub-mymethod"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ArtifactError) as caught:
        made(tmp_path / "file")
    target = re.escape(str(tmp_path / "file" / "hub-mymethod"))
    assert re.fullmatch(rf"{target} cannot be written: .+", caught.value.message)


def test_a_failure_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    names = names_for("hub-mymethod", "strategy")
    found = files(names)
    found["hub_mymethod/part.py"] = "\ud800"  # cannot be written as UTF-8
    monkeypatch.setattr("hub_core.scaffold.write.files", lambda _: found)
    with pytest.raises(UnicodeEncodeError):
        write(names, tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- what is checked


@pytest.mark.parametrize(
    ("path", "before", "after", "check", "reason"),
    [
        ("pyproject.toml", "entry-points.hub_core]", "entry-points.hubcore]",
         "it has an entry point that the core looks for",
         "pyproject.toml: there is no [project.entry-points.hub_core]; it has hubcore"),
        ("pyproject.toml", '"hub_mymethod.plugin"', '"hub_mymethod.plugins"',
         "every entry point names a module that is there",
         "hub-mymethod = hub_mymethod.plugins: there is no plugins.py in {package}"),
        ("pyproject.toml", '"hub-core>=0.1,<0.2"', '"click"',
         "it says which versions of hub-core it is for",
         "pyproject.toml: project.dependencies does not name hub-core"),
        ("pyproject.toml", '"hub-core>=0.1,<0.2"', '"hub-core"',
         "it says which versions of hub-core it is for",
         "hub-core has no upper bound, so a core that breaks it would be taken"),
        ("pyproject.toml", '"hub-core>=0.1,<0.2"', '"hub_core>=7,<8"',
         "it says which versions of hub-core it is for",
         "hub_core>=7,<8 does not admit 0.1.0, which is installed here"),
        ("pyproject.toml", 'readme = "README.md"', "", "it has a readme",
         "pyproject.toml: project.readme is missing"),
        ("pyproject.toml", 'readme = "README.md"', 'readme = "OTHER.md"', "it has a readme",
         "there is no OTHER.md"),
        ("pyproject.toml", 'license = "Apache-2.0"', "", "it says its licence",
         "pyproject.toml: project.license is missing"),
        ("hub_mymethod/plugin.py", 'name="mymethod"', 'name="My method"',
         "plugin hub-mymethod can be used",
         "it is broken: ValueError: method name 'My method': use lowercase letters, digits, "
         "hyphens"),
        ("hub_mymethod/plugin.py", "import Iterator", "import Nothing",
         "plugin hub-mymethod can be used",
         "it is broken: ImportError: cannot import name 'Nothing' from 'collections.abc'"),
        ("hub_mymethod/plugin.py", "    yield Method(", "    return iter(()) or Method(",
         "it announces a method", "no hook yields a method"),
        ("tests/test_hub_mymethod.py", 'method = "mymethod"', 'method = "other"',
         "every method has a suite of hub_core.testing",
         'no class of its tests has method = "mymethod"'),
        ("pyproject.toml", '[tool.flit.module]\nname = "hub_mymethod"',
         '[tool.flit.module]\nname = "hub_other"', "it can be built",
         "ValueError: No file/folder found for module hub_other"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_distribution_is_told(tmp_path, path, before, after, check, reason):
    folder = made(tmp_path)
    edited(folder / path, before, after)
    found = untested(folder)[check]
    assert found.startswith(reason.format(package=folder / "hub_mymethod"))


def test_a_distribution_as_it_was_written_has_nothing_wrong(tmp_path):
    assert set(untested(made(tmp_path)).values()) == {""}


def test_types_without_py_typed_are_told(tmp_path):
    folder = made(tmp_path)
    (folder / "hub_mymethod" / "py.typed").unlink()
    found = untested(folder)["its types can be used (py.typed)"]
    assert found == "there is no hub_mymethod/py.typed"


def test_a_wheel_that_lacks_modules_is_told(tmp_path):
    folder = made(tmp_path)
    (folder / "backend.py").write_text(
        "import zipfile\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    with zipfile.ZipFile(folder + '/x-0-py3-none-any.whl', 'w') as wheel:\n"
        "        wheel.writestr('hub_mymethod/__init__.py', '')\n"
        "        wheel.writestr('x-0.dist-info/METADATA', 'Name: x\\nVersion: 0\\n')\n",
        encoding="utf-8",
    )
    edited(folder / "pyproject.toml", 'build-backend = "flit_core.buildapi"',
           'build-backend = "backend"\nbackend-path = ["."]')  # fmt: skip
    found = {f.check: f.reason for f in wheel_findings(read(folder))}
    assert found == {
        "it can be built": "",
        "it holds the whole package": "it lacks hub_mymethod/options.py, hub_mymethod/part.py, "
        "hub_mymethod/plugin.py and more",
        "it holds the entry points": "it lacks hub-mymethod = hub_mymethod.plugin",
    }


def test_a_back_end_that_is_not_installed_is_no_failure(tmp_path):
    folder = made(tmp_path)
    edited(folder / "pyproject.toml", '"flit_core.buildapi"', '"no_such_backend"')
    [finding] = wheel_findings(read(folder))
    assert finding.state == "not checked"
    assert finding.reason == "its build back end, no_such_backend, is not installed here"
    assert not failed([finding])


def test_building_writes_nothing_into_the_folder(tmp_path):
    folder = made(tmp_path)
    before = sorted(folder.rglob("*"))
    checked(folder, tests=False)
    assert sorted(folder.rglob("*")) == before


def test_a_folder_without_a_project_is_refused(tmp_path):
    with pytest.raises(PluginError) as caught:
        read(tmp_path)
    assert caught.value.message == (
        f"{tmp_path} is not the folder of a plugin: it has no pyproject.toml"
    )
    assert caught.value.hint == "'hub plugins new NAME --kind KIND' writes a plugin to start from"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project", r"{path} is not TOML: .+"),
        ("x = 1", r"{path} does not describe a plugin:\n  - project: field required"),
        ("[project]\nname = '../x'", r"{path} does not describe a plugin:\n  - project\.name: "
         r"string should match pattern .+"),
        ("[project]\nname = 'x'\nversion = '../1'", r"{path} does not describe a plugin:\n  - "
         r"project\.version: string should match pattern .+"),
        ("[project]\nname = 3", r"{path} does not describe a plugin:\n  - project\.name: input "
         r"should be a valid string"),
        ("[project]\nname = 'x'\ndependencies = 'y'", r"{path} does not describe a plugin:\n"
         r"  - project\.dependencies: input should be a valid tuple"),
    ],
)  # fmt: skip
def test_a_project_that_cannot_be_read_is_refused(tmp_path, text, message):
    path = tmp_path / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PluginError) as caught:
        read(tmp_path)
    assert re.fullmatch(message.format(path=re.escape(str(path))), caught.value.message)


# -- tests of a plugin

ENDINGS = """
import pytest


class TestIt:
    def test_this_one_passes(self):
        pass

    def test_this_one_does_not(self):
        assert 1 == 2, "one is not two"

    def test_this_one_raises(self):
        raise ValueError("no")

    @pytest.mark.xfail(reason="for a reason", strict=True)
    def test_known(self):
        assert False

    @pytest.mark.xfail(reason="long past", strict=True)
    def test_known_no_more(self):
        pass

    @pytest.mark.parametrize("case", ["a"])
    def test_skipped_for(self, case):
        pytest.skip("not here")
"""


@pytest.fixture
def with_endings(tmp_path):
    folder = made(tmp_path)
    (folder / "tests" / "test_hub_mymethod.py").write_text(ENDINGS, encoding="utf-8")
    return folder


def test_every_test_is_told_with_how_it_ended_and_why(with_endings):
    found = run_suites(read(with_endings), environment([]))
    assert [(f.group, f.check, f.state, f.reason) for f in found] == [
        ("TestIt", "this one passes", "holds", ""),
        ("TestIt", "this one does not", "does not", "one is not two"),
        ("TestIt", "this one raises", "does not", "ValueError: no"),
        ("TestIt", "known", "known failure", "for a reason"),
        ("TestIt", "known no more", "does not", "[XPASS(strict)] long past"),
        ("TestIt", "skipped for[a]", "not checked", "not here"),
    ]


def test_the_command_shows_a_table_and_ends_with_1_if_something_does_not_hold(with_endings):
    done = command(check, with_endings)
    assert done.return_value == 1
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["what", "check", "state"]
    at = next(n for n, line in enumerate(lines) if "this one does not" in line)
    assert lines[at].split() == ["TestIt", "this", "one", "does", "not", "does", "not"]
    assert lines[at + 1] == "    one is not two"
    assert lines[-1] == "18 checks: 12 hold, 4 do not, 1 known to fail, 1 not checked"


def test_a_test_that_holds_in_all_of_its_cases_is_one_row(tmp_path):
    folder = made(tmp_path)
    (folder / "tests" / "test_hub_mymethod.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "def test_all(number):\n    pass\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "def test_some(number):\n    assert number == 1, 'too much'\n",
        encoding="utf-8",
    )
    shown = [" ".join(line.split()) for line in command(check, folder).stdout.splitlines()]
    assert shown[-6:] == [
        "test_hub_mymethod all, 2 cases holds",
        "test_hub_mymethod some[1] holds",
        "test_hub_mymethod some[2] does not",
        "too much",
        "",
        "16 checks: 14 hold, 2 do not",
    ]


def test_the_command_prints_json(tmp_path):
    done = command(check, made(tmp_path), "--no-tests", "--json")
    assert done.return_value == 0
    found = json.loads(done.stdout)
    assert found[0] == {
        "group": "distribution",
        "check": "it has an entry point that the core looks for",
        "state": "holds",
        "reason": "",
    }


def test_a_plugin_without_tests_is_refused(tmp_path):
    folder = made(tmp_path)
    (folder / "tests" / "test_hub_mymethod.py").unlink()
    with pytest.raises(PluginError) as caught:
        run_suites(read(folder), environment([]))
    assert caught.value.message.startswith("hub-mymethod: there is no test:\n")
    (folder / "tests").rmdir()
    with pytest.raises(PluginError) as caught:
        run_suites(read(folder), environment([]))
    assert caught.value.message == f"{folder} has no folder tests"


def test_tests_that_cannot_be_imported_are_a_failure_with_the_reason(tmp_path):
    folder = made(tmp_path)
    (folder / "tests" / "test_hub_mymethod.py").write_text("import nothing_there\n", "utf-8")
    [finding] = run_suites(read(folder), environment([]))
    assert finding.check == "tests.test_hub_mymethod can be imported"
    assert finding.state == "does not"
    assert finding.reason == "ModuleNotFoundError: No module named 'nothing_there'"


# -- visible without being installed


def test_a_plugin_is_found_in_its_folder_alone_by_its_own_process(tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_PLUGINS", "")
    code = (
        "import json; from hub_core.catalog import installed; "
        "print(json.dumps([p.distribution + ' ' + p.version for p in installed().plugins()]))"
    )
    with visible(read(made(tmp_path))) as env:
        assert "hub-mymethod 0.1.0" in told(code, [], env, "looking")
    assert "hub-mymethod 0.1.0" not in told(code, [], environment([]), "looking")


def test_a_source_folder_is_looked_into(tmp_path):
    folder = made(tmp_path)
    (folder / "src").mkdir()
    (folder / "hub_mymethod").rename(folder / "src" / "hub_mymethod")
    project = read(folder)
    assert (project.source, project.version) == (folder / "src", "0.1.0")
    assert set(untested(folder).values()) == {""}


@pytest.mark.parametrize("code", ["raise SystemExit('oh no')", "print('oh no')"])
def test_a_process_that_fails_tells_its_last_lines(code):
    with pytest.raises(PluginError) as caught:
        told(code, [], environment([]), "looking")
    assert caught.value.message == "looking failed:\n  oh no"


# -- the entry for a registry


def wheel_of(folder, place):
    code = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, place], cwd=folder, check=True)
    [path] = place.glob("*.whl")
    return path


def test_an_entry_says_what_the_folder_says(tmp_path):
    folder = made(tmp_path)
    done = command(entry, folder, "--no-facts", "--url", "https://x.org/y", "--subdirectory", "z")
    found = json.loads(done.stdout)["hub-mymethod"]
    [method] = found.pop("methods")
    assert found == {
        "version": "0.1.0",
        "core": ">=0.1,<0.2",
        "source": {"kind": "repository", "url": "https://x.org/y", "subdirectory": "z"},
        "code": code_hash(folder),
        "licence": "Apache-2.0",
        "summary": "Mymethod, a strategy for hub-core",
        "commands": [],
    }
    assert method["options"]["properties"]["beta"] == {
        "default": 0.1, "description": "how much entropy counts; 0 changes nothing", "minimum": 0,
        "type": "number",
    }  # fmt: skip
    assert (method["kind"], method["name"]) == ("strategy", "mymethod")
    assert method["requires"] == ["one-label", "scores"]
    assert method["facts"]["reason"] == "not measured"
    assert method["facts"]["source"] == found["code"]


def test_an_entry_of_a_wheel_has_its_sha256_and_says_the_same(tmp_path):
    folder = made(tmp_path)
    wheel = wheel_of(folder, tmp_path)
    url = f"https://x.org/{wheel.name}"
    [found] = entry_of(wheel, url=url, measure=False).values()
    [other] = entry_of(folder, url="https://x.org", measure=False).values()
    assert found["source"] == {"kind": "url", "url": url}
    assert found["sha256"] == look_into(wheel).sha256
    different = ("source", "sha256", "code", "methods")
    assert {k: v for k, v in found.items() if k not in different} == {
        k: v for k, v in other.items() if k not in different
    }
    for method in (*found["methods"], *other["methods"]):
        del method["facts"]
    assert found["methods"] == other["methods"]


def test_an_entry_holds_what_the_suite_measured(tmp_path):
    folder = made(tmp_path)
    [found] = entry_of(folder, url="https://x.org/y").values()
    [method] = found["methods"]
    assert method["facts"]["measured"]["trains"] is True
    assert method["facts"]["measured"]["cases"] == ["default"]


def test_the_address_comes_from_the_project(tmp_path):
    folder = made(tmp_path)
    edited(folder / "pyproject.toml", "[tool.flit.module]",
           '[project.urls]\nRepository = "https://x.org/r"\n\n[tool.flit.module]')  # fmt: skip
    for place in (folder, wheel_of(folder, tmp_path)):
        [found] = entry_of(place, measure=False).values()
        assert found["source"] == {"kind": "repository", "url": "https://x.org/r"}


def test_an_entry_that_nobody_could_fetch_is_refused(tmp_path):
    with pytest.raises(PluginError) as caught:
        entry_of(made(tmp_path), measure=False)
    assert caught.value.message == "where others can fetch hub-mymethod is not known"
    assert caught.value.hint == "give --url, or [project.urls] Repository in pyproject.toml"


@pytest.mark.parametrize("content", ["text", "zip"])
def test_what_is_no_wheel_is_refused(tmp_path, content):
    path = tmp_path / "x.whl"
    path.write_text("no zip", encoding="utf-8")
    if content == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x", "")
    with pytest.raises(PluginError) as caught:
        entry_of(path, url="https://x.org/x.whl", measure=False)
    assert caught.value.message == f"{path} is no wheel"
    assert caught.value.hint == "'python -m pip wheel --no-deps FOLDER' builds one"
