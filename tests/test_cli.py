"""The command line as a process: what it prints where, its exit codes, and how fast it starts."""

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib

import pytest
import toydata
from click.testing import CliRunner
from rich.console import Console

from hub_core.cli.output import table
from hub_core.cli.progress import Bar, sentence
from hub_core.cli.root import COMMANDS, hub
from hub_core.figures import share, size
from hub_core.recipe import TaskRecipe, Training, parse, read

PROGRAM = [sys.executable, "-m", "hub_core"]
HEAVY = {"torch", "transformers", "peft", "numpy", "rich"}


def run(*arguments, cwd=None, stdin="", path=(), **environment):
    """Run ``hub`` and return the finished process; ``path`` comes before the toys."""
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"} | environment
    environment["PYTHONPATH"] = os.pathsep.join([*map(str, path), environment["PYTHONPATH"]])
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def printed(*arguments, **settings):
    """Return what a command that must succeed prints to stdout."""
    done = run(*arguments, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(folder, name, entry_points, **modules):
    """Put a distribution and its modules into a folder, as pip would."""
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entry_points)
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    return folder


# -- the root


def test_version_is_one_line():
    assert re.fullmatch(r"hub-core \d+\.\d+\.\d+\n", printed("--version"))


def test_help_lists_every_command():
    told = printed("--help")
    for name, (_, text) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", told, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_the_command_says(name):
    command = hub.get_command(None, name)
    assert command.name == name
    assert command.help.split("\n\n")[0].replace("\n", " ") == COMMANDS[name][1]
    assert CliRunner().invoke(command, ["--help"]).exit_code == 0


@pytest.mark.parametrize("line", ["--version", "--help", "plugins", "methods", "train --help"])
def test_light_commands_import_nothing_heavy(line):
    code = (
        "import sys; from hub_core.cli import main; main(sys.argv[1:]);"
        "print('|'.join(sorted(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *line.split()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    modules = set(done.stderr.splitlines()[-1].split("|"))
    assert not HEAVY & modules
    assert "pydantic" not in modules
    if line != "methods":
        assert "hub_toys" not in modules
        assert "pluggy" not in modules
    if line in ("--version", "--help"):
        assert not {"packaging", "hub_core.catalog", "hub_core.cli.methods"} & modules


def test_an_unknown_command_names_the_nearest():
    done = run("trian")
    assert done.returncode == 2
    assert "Error: there is no command 'trian'; did you mean 'train'?" in done.stderr


def test_an_error_is_a_message_and_a_hint(tmp_path):
    done = run("inspect", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: {tmp_path} is no artifact: it has no hub.json\n"
        "Hint: name a folder that 'hub train' wrote\n"
    )


def test_a_reader_that_leaves_early_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*PROGRAM, "methods"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_console_without_unicode_gets_question_marks_and_escaped_json(tmp_path):
    install(
        tmp_path, "hub-greek", "[hub_core]\nhub-greek = greek\n",
        greek="from hub_core.spec import Method, hookimpl\n@hookimpl\ndef hub_heads():\n"
        "    yield Method(name='greek', summary='Says \\u03b1', factory='a:B', options='a:C')\n",
    )  # fmt: skip
    plain = printed("methods", path=[tmp_path], PYTHONIOENCODING="cp1252")
    assert "Says ?" in plain
    found = json.loads(printed("methods", "--json", path=[tmp_path], PYTHONIOENCODING="cp1252"))
    assert "Says \u03b1" in {method["summary"] for method in found}


# -- plugins and methods


@pytest.fixture
def broken(tmp_path):
    return install(tmp_path, "hub-broken", "[hub_core]\nhub-broken = no_such_module\n")


def test_plugins_are_listed_without_importing_them(broken):
    rows = json.loads(printed("plugins", "--json", path=[broken]))
    found = {row["name"]: row for row in rows}
    assert found["hub-broken"] == {
        "name": "hub-broken",
        "distribution": "hub-broken",
        "version": "1.2",
        "status": "ok",
        "reason": "",
    }
    assert re.search(r"^hub-toys +hub-toys +0\.1\.0 +ok$", printed("plugins"), re.MULTILINE)


def test_disabled_plugins_say_why():
    rows = json.loads(printed("plugins", "--json", HUB_PLUGINS="hub-peft"))
    toys = next(row for row in rows if row["name"] == "hub-toys")
    assert toys["status"] == "disabled"
    assert toys["reason"] == "HUB_PLUGINS does not name it; add it there to use it"


def test_methods_are_listed_by_kind():
    rows = json.loads(printed("methods", "--kind", "head", "--json"))
    assert {row["kind"] for row in rows} == {"head"}
    assert {"kind": "head", "name": "toy-tags", "summary": "Toy: toy-tags",
            "plugin": "hub-toys"} in rows  # fmt: skip


def test_a_broken_plugin_is_told_beside_the_methods_of_the_others(broken):
    done = run("methods", path=[broken])
    assert done.returncode == 0
    assert "toy-encoder" in done.stdout
    assert done.stderr == (
        "plugin hub-broken is broken: ModuleNotFoundError: No module named 'no_such_module'\n"
    )


def test_show_explains_a_method_with_its_options():
    told = printed("show", "toy-encoder")
    assert "toy-encoder: Toy: toy-encoder\n" in told
    assert re.search(r"^plugin  hub-toys 0\.1\.0$", told, re.MULTILINE)
    assert re.search(r"^  text +reads text$", told, re.MULTILINE)
    assert re.search(r"^  width +integer +32 +>= 8 +width of the hidden states$", told, re.M)
    assert '  [backbone]\n  name = "toy-encoder"\n  seed = 0\n' in told


def test_show_as_json_has_everything():
    found = json.loads(printed("show", "hub-toys:toy-mask", "--json"))
    assert (found["kind"], found["plugin"], found["version"]) == (
        "compressor", "hub-toys", "0.1.0")  # fmt: skip
    assert found["requires"]["float-weights"].startswith("the linear layers still hold")
    assert found["options"] == []
    assert tomllib.loads(found["example"]) == {"compressors": [{"name": "hub-toys:toy-mask"}]}


def test_show_names_the_nearest_method(broken):
    done = run("show", "toy-encodr", path=[broken])
    assert done.returncode == 1
    assert "Error: no installed plugin provides a method named 'toy-encodr'\n" in done.stderr
    assert "Hint: did you mean 'toy-encoder'?; plugin hub-broken is broken: " in done.stderr


def test_show_asks_which_kind_is_meant(tmp_path):
    text = "from hub_core.spec import Method, hookimpl\n" + "".join(
        f"@hookimpl\ndef hub_{kind}():\n"
        "    yield Method(name='twin', summary='Twin', factory='a:B',"
        " options='hub_core.options:NoOptions')\n"
        for kind in ("heads", "strategies")
    )
    install(tmp_path, "hub-twin", "[hub_core]\nhub-twin = twin\n", twin=text)
    done = run("show", "twin", path=[tmp_path])
    assert done.returncode == 1
    assert done.stderr == (
        "Error: there is a head and a strategy named 'twin'\n"
        "Hint: add --kind head or --kind strategy\n"
    )
    assert "kind    strategy" in printed("show", "twin", "--kind", "strategy", path=[tmp_path])


# -- commands of plugins

COMMAND = "import click\n@click.command()\ndef greet():\n    click.echo('hello')\n"


def test_a_plugin_brings_a_command_that_is_imported_when_run(tmp_path):
    install(
        tmp_path, "hub-greeter", "[hub_core.commands]\ngreet = greeter:greet\n", greeter=COMMAND
    )
    assert printed("greet", path=[tmp_path]) == "hello\n"
    (tmp_path / "greeter.py").write_text("raise RuntimeError('imported')\n")
    assert re.search(r"^  greet +from hub-greeter 1\.2$", printed("--help", path=[tmp_path]), re.M)


def test_a_plugin_never_shadows_a_core_command(tmp_path):
    install(
        tmp_path, "hub-greeter", "[hub_core.commands]\nplugins = greeter:greet\n", greeter=COMMAND
    )
    assert "hub-toys" in printed("plugins", path=[tmp_path])
    told = " ".join(printed("--help", path=[tmp_path]).split())
    assert "plugins from hub-greeter 1.2; not used: the core has a command of that name" in told


def test_a_broken_command_names_its_distribution(tmp_path):
    install(tmp_path, "hub-greeter", "[hub_core.commands]\ngreet = greeter:greet\n")
    done = run("greet", path=[tmp_path])
    assert done.returncode == 1
    assert done.stderr == (
        "Error: command 'greet' of hub-greeter 1.2 is broken: "
        "ModuleNotFoundError: No module named 'greeter'\nHint: repair or uninstall it\n"
    )


def test_a_command_of_two_plugins_names_both(tmp_path):
    for name in ("hub-one", "hub-two"):
        install(tmp_path, name, "[hub_core.commands]\ngreet = greeter:greet\n", greeter=COMMAND)
    done = run("greet", path=[tmp_path])
    assert done.returncode == 1
    assert done.stderr == (
        "Error: command 'greet' is brought by hub-one 1.2 and hub-two 1.2\n"
        "Hint: uninstall one of them\n"
    )


def test_a_bug_shows_its_trace(tmp_path):
    bug = COMMAND.replace("click.echo('hello')", "raise ValueError('a bug')")
    install(tmp_path, "hub-greeter", "[hub_core.commands]\ngreet = greeter:greet\n", greeter=bug)
    done = run("greet", path=[tmp_path])
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ValueError: a bug\n")


# -- init

CHOSEN = ["--backbone", "toy-encoder", "--head", "classification"]


def test_init_writes_every_key_with_its_default(tmp_path):
    done = run("init", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "recipe.toml").read_text("utf-8")
    for name in [*Training.model_fields, *(set(TaskRecipe.model_fields) - {"head"})]:
        assert re.search(rf"^# {name} = ", text, re.MULTILINE), name
    assert "# epochs = 3  # passes over the training data, over all stages (>= 1)\n" in text
    assert re.search(r'^# name = "…"  # one of .*toy-gradual', text, re.MULTILINE)
    assert tomllib.loads(text) == {"tasks": {"task": {}}, "training": {}}


def test_every_line_that_init_leaves_as_a_comment_can_be_taken_in(tmp_path):
    printed("init", *CHOSEN, "--data", "d.csv", "--strategy", "lora", cwd=tmp_path)
    text = (tmp_path / "recipe.toml").read_text("utf-8")
    taken = re.sub(r"^# (\w+ = [^…\n]*)$", r"\1", text, flags=re.MULTILINE)
    found = tomllib.loads(taken)
    assert found["strategies"][0]["r"] == 8
    assert found["training"]["batch_tokens"] == 1024
    assert parse(found).training == parse(read(tmp_path / "recipe.toml")).training


def test_init_writes_what_flags_choose_seen_from_the_recipe(tmp_path):
    (tmp_path / "recipes").mkdir()
    printed(
        "init", "recipes/one.toml", *CHOSEN, "--data", "a.csv", "--data", "b.csv", "--test", "0",
        "--set", "toy-encoder.seed=4", "--epochs", "7", "--task", "mood",
        "--column", "text=say \"it\"", cwd=tmp_path,
    )  # fmt: skip
    recipe = parse(read(tmp_path / "recipes" / "one.toml"))
    assert (recipe.backbone.name, recipe.backbone.options) == ("toy-encoder", {"seed": 4})
    task = recipe.tasks["mood"]
    assert [os.path.normpath(name) for name in task.data] == [
        os.path.normpath(tmp_path / name) for name in ("a.csv", "b.csv")
    ]
    assert (task.test, task.columns, recipe.training.epochs) == (0, {"text": 'say "it"'}, 7)


def test_init_refuses_to_replace_a_file(tmp_path):
    (tmp_path / "recipe.toml").write_text("precious")
    done = run("init", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: recipe.toml exists already\n"
        "Hint: choose another name, or replace it with --overwrite\n"
    )
    assert (tmp_path / "recipe.toml").read_text() == "precious"
    printed("init", "--overwrite", cwd=tmp_path)


def test_init_refuses_a_method_that_is_not_installed(tmp_path):
    done = run("init", "--strategy", "toy-gradal", cwd=tmp_path)
    assert done.returncode == 1
    assert "Hint: did you mean 'toy-gradual'?" in done.stderr
    assert not (tmp_path / "recipe.toml").exists()


# -- one run, from recipe to verification


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data and a recipe."""
    folder = tmp_path_factory.mktemp("cli")
    rows = toydata.labelled(80)
    with (folder / "mood.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("review", "label"), *((r["text"], r["label"]) for r in rows)])
    flags = [*CHOSEN, "--data", "mood.csv", "--column", "text=review", "--strategy", "full",
             "--threads", "1", "--precision", "fp32", "--learning-rate", "0.01",
             "--set", "training.batch_examples=8"]  # fmt: skip
    printed("init", *flags, "--epochs", "3", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """The finished process that trained ``out``."""
    return run("train", "recipe.toml", "--out", "out", "--json", cwd=folder)


def test_train_prints_its_result_to_stdout_and_its_course_to_stderr(trained):
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result["folder"] == "out"
    assert set(result["metrics"]["task"]) == {"validation", "test"}
    assert result["examples"] == {"task": {"train": 64, "validation": 8, "test": 8}}
    assert 0 < result["parameters"]["trained"] <= result["parameters"]["total"]
    assert result["proof"]["difference"] <= result["proof"]["tolerance"]
    assert [entry["epoch"] for entry in result["history"]] == [1, 2, 3]
    assert "task: 64 train, 8 validation, 8 test; labels bad, good\n" in trained.stderr
    assert re.search(r"^epoch 3/3:  loss \d\.\d{4}  validation accuracy ", trained.stderr, re.M)
    assert "\x1b" not in trained.stderr


def test_dry_run_tells_what_would_be_done(folder):
    sketch = json.loads(printed("train", "recipe.toml", "--dry-run", "--json", cwd=folder))
    assert sketch["parts"] == ["backbone toy-encoder", "head classification", "strategy full"]
    assert sketch["splits"] == {"task": {"train": 64, "validation": 8, "test": 8}}
    assert [(stage["name"], stage["epochs"]) for stage in sketch["stages"]] == [("train", 3)]
    assert sketch["steps"] > 0
    assert "hub.json" in sketch["files"]


def test_a_dry_run_needs_no_weights_of_a_real_backbone(folder, tmp_path):
    from tinymodels import save

    model = save("bert", tmp_path / "bert")
    (model / "model.safetensors").write_bytes(b"no weights")
    told = printed("train", "recipe.toml", "--backbone", model, "--strategy", "lora",
                   "--strategy", "fish-mask", "--dry-run", cwd=folder)  # fmt: skip
    assert "strategy fish-mask" in told
    assert "trained" in told


def test_train_needs_a_place_to_write_to(folder):
    done = run("train", "recipe.toml", cwd=folder)
    assert done.returncode == 2
    assert "Error: --out FOLDER is missing; --dry-run does without it" in done.stderr


def test_an_incomplete_recipe_lists_what_is_missing():
    done = run("train", "--data", "a.csv", "--dry-run")
    assert done.returncode == 1
    assert "  - backbone: must be given\n  - tasks.task.head: must be given\n" in done.stderr


def test_inspect_reads_the_manifest_alone(folder, trained):
    told = printed("inspect", "out", cwd=folder)
    assert re.search(r"^backbone +toy-encoder +hub-toys 0\.1\.0 +0\.1\.0$", told, re.MULTILINE)
    assert re.search(r"^task +test +8 +accuracy ", told, re.MULTILINE)
    assert re.search(r"^proof +in a fresh process, the outputs of ", told, re.MULTILINE)
    found = json.loads(printed("inspect", "out", "--json", cwd=folder, HUB_PLUGINS="hub-basics"))
    assert [method["here"] for method in found["methods"]] == ["disabled", "disabled", "0.1.0"]


def test_predict_prints_columns(folder, trained):
    told = printed("predict", "out", "a fine\nfilm", "bad", cwd=folder)
    assert [re.sub(r"0\.\d{4}", "P", line) for line in told.splitlines()] == [
        "good  P  a fine film",
        "bad   P  bad",
    ]


def test_predict_reads_lines_and_prints_json_lines(folder, trained):
    told = printed("predict", "out", "--json", cwd=folder, stdin="fine day\nsour day\n\n")
    rows = [json.loads(line) for line in told.splitlines()]
    assert [row["input"] for row in rows] == ["fine day", "sour day"]
    assert [row["label"] for row in rows] == ["good", "bad"]
    assert set(rows[0]["probabilities"]) == {"good", "bad"}


def test_predict_reads_a_table_with_the_columns_of_training(folder, trained):
    told = printed("predict", "out", "--file", "mood.csv", "--json", cwd=folder)
    with (folder / "mood.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["review"] for row in csv.DictReader(file)]
    assert [json.loads(line)["input"] for line in told.splitlines()] == texts


def test_predict_takes_texts_or_a_file(folder):
    done = run("predict", "out", "a text", "--file", "mood.csv", cwd=folder)
    assert done.returncode == 2
    assert "Error: give texts or --file, not both" in done.stderr


def test_evaluate_measures(folder, trained):
    found = json.loads(printed("evaluate", "out", "--data", "mood.csv", "--json", cwd=folder))
    assert (found["task"], found["examples"]) == ("task", 80)
    assert found["metrics"]["accuracy"] > 0.8


def test_verify_accepts_what_was_saved_and_refuses_anything_else(folder, trained, tmp_path):
    assert printed("verify", "out", cwd=folder).startswith("out is what was saved: ")
    for path in (folder / "out").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "probe.json").write_text("{}")
    done = run("verify", tmp_path)
    assert done.returncode == 1
    assert f"Error: {tmp_path} is not what was saved:\n  - probe.json has " in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to a single process")
def test_ctrl_c_says_how_to_go_on(folder):
    line = ["train", "recipe.toml", "--epochs", "25", "--out", "long"]
    process = subprocess.Popen(
        [*PROGRAM, *line],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    for told in process.stderr:
        if told.startswith("epoch 2/25"):  # the checkpoint of the first epoch is written
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "\nInterrupted.\n" in err
    again = shlex.split(re.search(r"^Go on with: hub (.*)$", err, re.MULTILINE)[1])
    assert again == [*line, "--resume"]
    done = run(*again, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^going on after step \d+ of \d+$", done.stderr, re.MULTILINE)
    assert re.search(r"^trained +[\d,]+ of [\d,]+ \(\d+ %\) parameters$", done.stdout, re.M)
    assert done.stderr.endswith(
        '\nNext:\n  hub predict long "…"\n  hub evaluate long --data FILE\n  hub verify long\n'
    )


# -- progress and figures


def test_shares_and_sizes_are_short():
    shares = [share(1, 3), share(9_999, 10_000), share(5, 5), share(12, 4_386_178)]
    assert shares == ["1 of 3 (33 %)", "9,999 of 10,000 (99.99 %)", "5 of 5 (100 %)",
                      "12 of 4,386,178 (0.00027 %)"]  # fmt: skip
    assert [size(0), size(999), size(1_234_567), size(999_900)] == [
        "0 B", "999 B", "1.23 MB", "1 MB"]  # fmt: skip


def test_tables_align_wide_characters_and_disarm_control_characters():
    assert table([("\u4e2d\u6587", "a"), ("b\x1b[2J\n", "c")], ("k", "v")) == (
        "k      v\n\u4e2d\u6587   a\nb [2J  c"
    )


def test_events_are_sentences():
    plan = {"trained": 500, "total": 20_000, "steps": 1200}
    assert sentence("plan", plan) == "training 500 of 20,000 (2.5 %) parameters in 1,200 steps"
    epoch = {"epoch": 1, "epochs": 3, "stage": "probe", "loss": 0.5,
             "validation": {"a": {"f1": 0.25}, "b": {"f1": 1.0}}}  # fmt: skip
    assert sentence("epoch", epoch) == (
        "epoch 1/3 (probe):  loss 0.5000  validation a f1 0.2500  validation b f1 1.0000"
    )
    assert sentence("step", {}) == ""


def test_a_terminal_shows_a_bar():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, no_color=True)
    with Bar(console) as report:
        report("plan", {"trained": 5, "total": 10, "steps": 8})
        report("step", {"step": 4, "steps": 8, "loss": 0.25, "rate": 1e-3, "stage": "probe"})
    told = screen.getvalue()
    assert re.search(r"probe .* 4/8 .*loss 0\.2500  rate 1\.0e-03", told)
