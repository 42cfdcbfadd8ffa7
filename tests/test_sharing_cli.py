"""Taking from a Hub as a user types it: pull, lock, search, inspect, predict, evaluate, verify."""

import json
import shutil

import pytest
import sharing
import toydata
from safetensors.torch import load_file, save_file
from sharing import BASE, NAME, TEXTS, hub, lines, refused
from test_pull import cached, commit

import hub_core
from hub_core import notes

OTHER = "team/other"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sharing.trained(tmp_path_factory)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    yield from sharing.serving(tmp_path_factory)


@pytest.fixture
def there(served, tmp_path, monkeypatch):
    return sharing.settled(served, tmp_path, monkeypatch)


def edited(server, root, tmp_path, name, change):
    """Publish the artifact with another ``hub.json``, as somebody without ``hub push`` could."""
    folder = shutil.copytree(root / "out", tmp_path / "edited")
    path = folder / "hub.json"
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return commit(server, folder, name=name)


# -- pull


def test_pull_prints_the_folder_and_says_what_was_fetched(there, capsys):
    out, err = hub(capsys, "pull", NAME)
    folder = hub_core.remote.pull.pull(NAME).folder
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert out == f"{folder}\n"
    assert err == f"Fetched {NAME}@{there.first}, {size / 1000:.1f} kB.\n"
    assert hub(capsys, "pull", NAME) == (out, "")


def test_pull_to_a_folder_makes_an_equal_copy(there, capsys, tmp_path):
    out, _ = hub(capsys, "pull", f"{NAME}@v1", "--to", "copy", "--json")
    pulled = hub_core.remote.pull.pull(NAME).folder
    told = json.loads(out)
    assert (told["address"], told["folder"]) == (f"{NAME}@{there.first}", "copy")
    assert told["fetched"] == sum(path.stat().st_size for path in pulled.iterdir())
    copy = {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()}
    assert copy == {path.name: path.read_bytes() for path in pulled.iterdir()}


def test_pull_leaves_a_folder_that_exists_as_it_is(there, capsys, tmp_path):
    (tmp_path / "copy").mkdir()
    assert refused(capsys, "pull", NAME, "--to", "copy") == (
        "Error: copy exists already\nHint: choose another folder\n"
    )
    assert list((tmp_path / "copy").iterdir()) == []
    assert there.app.asked == []


def test_pull_of_what_is_not_there_leaves_nothing(there, capsys, tmp_path):
    assert refused(capsys, "pull", "team/none", "--to", "copy") == (
        "Error: team/none does not exist on the Hub, or is private to others\n"
        "Hint: check the name; if it is private, log in with 'hub login', or ask its owner for "
        "access\n"
    )
    assert refused(capsys, "pull", f"{NAME}@v9") == (
        f"Error: {NAME}@v9: the repository has no such branch, tag or commit\n"
        "Hint: leave the revision out, or name one that it has\n"
    )
    assert refused(capsys, "pull", "mood") == (
        "Error: 'mood' is no name of a repository\nHint: write owner/name or owner/name@revision\n"
    )
    assert cached() == []
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("command", ["pull", "predict", "evaluate", "verify", "lock"])
def test_more_bytes_than_are_allowed_are_not_fetched(there, capsys, root, command):
    more = {"predict": ["a"], "evaluate": ["--data", root / "test.jsonl"]}.get(command, [])
    told = refused(capsys, command, NAME, *more, "--max-download", "1.5kB")
    size = hub_core.remote.look.look(NAME).needed
    assert told == (
        f"Error: {NAME}@{there.first[:12]} has {size:,} bytes to fetch, more than the 1,500 that "
        f"are allowed\nHint: if it may be that large: --max-download {size}\n"
    )
    assert cached() == []


def test_a_size_that_is_none_is_refused(there, capsys):
    assert refused(capsys, "pull", NAME, "--max-download", "much") == (
        "Error: --max-download much: is no size\nHint: write a number such as 20GB\n"
    )


# -- lock


@pytest.fixture
def locked(there, capsys, tmp_path):
    """The first commit, locked in this folder; the main branch has moved on."""
    out, _ = hub(capsys, "lock", f"{NAME}@v1")
    assert out == f"hub.lock: {NAME} is locked at {there.first[:12]}, 6 files\n"
    commit(there, **{"LICENSE": tmp_path.name.encode()})
    return there.first


def test_lock_writes_the_commit_and_every_sha256(there, locked, tmp_path):
    content = json.loads((tmp_path / "hub.lock").read_text("utf-8"))
    [(name, entry)] = content["artifacts"].items()
    assert (name, entry["endpoint"], entry["commit"]) == (NAME, there.url, there.first)
    hashes = hub_core.remote.pull.hashes(hub_core.remote.pull.pull(f"{NAME}@v1").folder)
    assert entry["files"] == hashes


def test_every_command_gets_the_locked_commit(there, locked, capsys, root):
    address = f"{NAME}@{there.first}"
    assert json.loads(hub(capsys, "pull", NAME, "--json")[0])["address"] == address
    seen = json.loads(hub(capsys, "inspect", NAME, "--json")[0])
    assert seen["repository"]["repository"] == address
    for arguments in (["predict", NAME, *TEXTS], ["evaluate", NAME, "--data", root / "test.jsonl"],
                      ["verify", NAME]):  # fmt: skip
        there.app.asked.clear()
        hub(capsys, *arguments)
        asked = [path for _, path, _ in there.app.asked if NAME in path]
        assert all(there.first in path for path in asked)


@pytest.mark.parametrize("command", ["pull", "predict", "evaluate", "verify", "inspect"])
def test_every_command_refuses_another_revision_than_the_locked_one(
    there, locked, capsys, root, command
):
    more = {"predict": ["a"], "evaluate": ["--data", root / "test.jsonl"]}.get(command, [])
    assert refused(capsys, command, f"{NAME}@main", *more) == (
        f"Error: {NAME}@main is not what hub.lock has locked: {there.first[:12]}\n"
        f"Hint: leave the revision out, or lock the new one: hub lock {NAME}@main\n"
    )


@pytest.mark.parametrize("command", ["pull", "predict", "evaluate", "verify"])
def test_every_command_refuses_other_bytes_than_the_locked_ones(
    there, locked, capsys, root, command, tmp_path
):
    path = tmp_path / "hub.lock"
    content = json.loads(path.read_text("utf-8"))
    was = content["artifacts"][NAME]["files"]["probe.json"]
    content["artifacts"][NAME]["files"]["probe.json"] = "0" * 64
    path.write_text(json.dumps(content), encoding="utf-8")
    more = {"predict": ["a"], "evaluate": ["--data", root / "test.jsonl"]}.get(command, [])
    assert refused(capsys, command, NAME, *more) == (
        f"Error: {NAME}@{there.first[:12]} is not what hub.lock has locked:\n"
        f"  - probe.json: sha256 {was[:16]}…, locked is sha256 0000000000000000…\n"
        "Hint: a commit never changes by itself: do not use this Hub before its owner has "
        "explained that\n"
    )


def test_locking_again_moves_on_and_keeps_other_names(there, locked, capsys, tmp_path):
    commit(there, **{"hub.json": (hub_core.remote.pull.pull(f"{NAME}@v1").folder / "hub.json")
                     .read_bytes()}, name=OTHER)  # fmt: skip
    head = commit(there, **{"LICENSE": b"newest"})
    hub(capsys, "lock", NAME)
    content = json.loads((tmp_path / "hub.lock").read_text("utf-8"))
    assert content["artifacts"][NAME]["commit"] == head
    assert refused(capsys, "lock", OTHER).startswith(f"Error: {OTHER}@")
    assert json.loads((tmp_path / "hub.lock").read_text("utf-8")) == content


# -- search


def test_search_shows_what_fits_as_a_table(there, capsys):
    out, err = hub(capsys, "search")
    header, row = out.splitlines()
    assert header.split("  ")[0] == "name"
    assert header.split() == ["name", "task", "backbone", "claimed", "metrics", "licence",
                              "modified"]  # fmt: skip
    assert row.startswith(f"{NAME}  text-classification  {BASE}  accuracy 0.4000  macro_f1 0.3750")
    assert " mit " in row
    assert err == ""


@pytest.mark.parametrize(
    "arguments",
    [["mood"], ["--task", "text-classification"], ["--task", "classification"],
     ["--backbone", BASE], ["--method", "lora"], ["mood", "--method", "lora", "--backbone", BASE]],
)  # fmt: skip
def test_search_finds_by_word_task_backbone_and_method(there, capsys, arguments):
    found = json.loads(hub(capsys, "search", *arguments, "--json")[0])
    assert [(one["name"], one["backbones"], one["license"]) for one in found] == [
        (NAME, [BASE], "mit")
    ]
    assert found[0]["metrics"]["accuracy"] == 0.4
    assert not found[0]["private"]


@pytest.mark.parametrize(
    "arguments",
    [["none"], ["--task", "regression"], ["--backbone", "team/none"], ["--method", "dora"],
     ["mood", "--method", "dora"]],
)  # fmt: skip
def test_search_that_finds_nothing_says_so(there, capsys, arguments):
    assert hub(capsys, "search", *arguments) == ("", "Nothing on this Hub fits.\n")
    assert hub(capsys, "search", *arguments, "--json") == ("[]\n", "")


def test_search_for_everything_is_limited(there, capsys):
    names = {one["name"] for one in json.loads(hub(capsys, "search", "--all", "--json")[0])}
    assert {NAME, BASE} <= names
    [one] = json.loads(hub(capsys, "search", "--all", "--limit", "1", "--json")[0])
    assert one["name"] in names


# -- inspect


def test_inspect_shows_what_hub_json_says_and_fetches_no_weight(there, capsys):
    before = there.app.sent
    out, err = hub(capsys, "inspect", f"{NAME}@v1")
    assert there.app.sent - before < 100_000
    size = hub_core.remote.look.look(NAME).needed
    assert out.startswith(
        f"repository  {NAME}@{there.first}\nlicence     mit\nvisible     to everybody\n"
    )
    assert f"\nto fetch    {size / 1000:.1f} kB\n" in out
    assert "\nlabels of main  bad, good\n" in out
    assert (
        "\nmain  test        10  accuracy 0.4000  macro_f1 0.3750  matthews -0.2182  "
        "calibration_error 0.1078\n"
    ) in out
    assert err == ""
    assert cached() == []


def test_inspect_names_a_plugin_that_is_missing_here(there, capsys, root, tmp_path):
    def strange(content):
        content["methods"][1]["plugin"] = "hub-strange"

    edited(there, root, tmp_path, "team/strange", strange)
    out, _ = hub(capsys, "inspect", "team/strange")
    assert "\nhead      classification  hub-strange 0.1.0       not installed\n" in out


def test_inspect_shows_what_peft_published(there, capsys, root):
    adapter = json.loads((root / "out" / "adapter_config.json").read_text("utf-8"))
    config = json.dumps(adapter | {"base_model_name_or_path": BASE}).encode()
    weights = (root / "out" / "adapter_model.safetensors").read_bytes()
    head = commit(there, name="team/adapter",
                  **{"adapter_config.json": config, "adapter_model.safetensors": weights}
                  )  # fmt: skip
    out, _ = hub(capsys, "inspect", "team/adapter")
    about, facts = out.split("\n\n")
    assert about.startswith(f"repository  team/adapter@{head}\nlicence     none stated\n")
    assert facts.startswith("kind          adapter of PEFT; its base model is fetched\n")
    assert f"\nbase model    {BASE}\n" in facts
    told = json.loads(hub(capsys, "inspect", "team/adapter", "--json")[0])
    assert (told["facts"]["method"], told["facts"]["base model"]) == ("LORA", BASE)


def test_inspect_shows_what_transformers_published(there, capsys):
    told = json.loads(hub(capsys, "inspect", BASE, "--json")[0])
    assert told["facts"]["kind"] == "model of transformers; no other model is needed"
    assert told["facts"]["architecture"] == "BertModel"
    assert told["facts"]["task"] == "none that is served here"


def test_inspect_of_what_nobody_knows_says_what_it_holds(there, capsys):
    commit(there, name="team/notes", **{"notes.txt": b"x"})
    told = refused(capsys, "inspect", "team/notes")
    assert told.startswith(
        "Error: this is neither an artifact of hub-core nor of a kind that an installed reader "
        "knows ("
    )
    assert "; it holds '.gitattributes', 'notes.txt'\n" in told


# -- predict, evaluate and verify


def test_a_name_predicts_and_is_evaluated_as_its_folder(there, capsys, root):
    base = ["--backbone", root / "tiny-bert"]
    texts, data = ["predict", *TEXTS, "--json"], ["--data", root / "test.jsonl", "--json"]
    texts[1:1] = [NAME]
    assert hub(capsys, *texts)[0] == hub(capsys, "predict", root / "out", *base, *texts[2:])[0]
    there.app.asked.clear()
    out, err = hub(capsys, "evaluate", NAME, *data)
    assert json.loads(out)["metrics"]["accuracy"] == 0.4
    assert out == hub(capsys, "evaluate", root / "out", *base, *data)[0]
    assert "Fetched" not in err


def test_a_name_that_is_not_there_is_told_by_every_command(there, capsys, root):
    for arguments in (["predict", "team/none", "a"], ["verify", "team/none"],
                      ["evaluate", "team/none", "--data", root / "test.jsonl"],
                      ["inspect", "team/none"], ["lock", "team/none"]):  # fmt: skip
        assert refused(capsys, *arguments) == (
            "Error: team/none does not exist on the Hub, or is private to others\n"
            "Hint: check the name; if it is private, log in with 'hub login', or ask its owner "
            "for access\n"
        )
    assert cached() == []


SAVED = (
    f"{NAME} is what was saved: 5 files have their sha256,\n"
    "the outputs of 8 examples are exactly the same, and what is predicted is equal\n"
)
CLAIMS = (
    "main               claimed (test)  measured\n"
    "accuracy           0.4000          0.4000\n"
    "macro_f1           0.3750          0.3750\n"
    "matthews           -0.2182         -0.2182\n"
    "calibration_error  0.1078          0.1078\n"
)


def test_verify_of_a_name_compares_files_and_outputs(there, capsys):
    out, _ = hub(capsys, "verify", NAME)
    assert out == SAVED
    told = json.loads(hub(capsys, "verify", NAME, "--json")[0])
    assert told == {"files": 5, "rows": 8, "difference": 0.0, "same": True, "measured": None}


@pytest.mark.parametrize("file", ["test.jsonl", "rows.jsonl"])
def test_verify_measures_again_on_the_split_or_on_all_data_that_it_was_taken_from(
    there, capsys, root, file
):
    out, err = hub(capsys, "verify", NAME, "--data", root / file)
    assert out == SAVED + CLAIMS
    assert err.splitlines()[-1] == "on 10 examples, the test data of the claims"


def test_verify_on_other_data_shows_both_and_judges_nothing(there, capsys, tmp_path):
    others = lines(tmp_path / "others.jsonl", toydata.labelled(30, seed=9)[::2])
    out, err = hub(capsys, "verify", NAME, "--data", others)
    assert out.startswith(
        SAVED + "main               claimed (test)  measured\naccuracy           0.4000          "
    )
    assert err.splitlines()[-1] == ("on 15 examples, which are other data than those of the claims")
    told = json.loads(hub(capsys, "verify", NAME, "--data", others, "--json")[0])["measured"]
    assert (told["same"], told["examples"], told["split"]) == (False, 15, "test")


def test_verify_finds_a_claim_that_is_not_reached(there, capsys, root, tmp_path):
    def boast(content):
        content["tasks"]["main"]["metrics"]["test"] |= {"accuracy": 0.99}

    edited(there, root, tmp_path, "team/boast", boast)
    base = ["--backbone", root / "tiny-bert"]
    for file in ("test.jsonl", "rows.jsonl"):
        out, err = hub(capsys, "verify", "team/boast", *base, "--data", root / file, code=1)
        assert out == SAVED.replace(NAME, "team/boast")
        assert err.endswith(
            "Error: task main does not reach what it claims on the same 10 examples (test):\n"
            "  - accuracy is 0.4000, claimed is 0.9900\n"
            "Hint: do not trust it before its author has explained the difference\n"
        )


def test_verify_finds_outputs_that_are_not_the_saved_ones(there, capsys, root, tmp_path):
    from hub_core import manifest

    folder = shutil.copytree(root / "out", tmp_path / "other")
    head = load_file(folder / "head.main.safetensors")
    save_file({n: t + 1.0 * (t > 0) for n, t in head.items()}, folder / "head.main.safetensors")
    content = manifest.read(folder)
    files = {k: v for k, v in manifest.describe_files(folder).items() if k in content.files}
    manifest.write(folder, content.model_copy(update={"files": files}))
    commit(there, folder, name="team/changed")
    told = refused(capsys, "verify", "team/changed", "--backbone", root / "tiny-bert")
    assert "Error: team/changed: its outputs differ from the saved ones by " in told
    assert told.endswith("Hint: do not trust it before its author has explained the difference\n")


def test_verify_of_what_others_wrote_has_nothing_to_compare_with(there, capsys):
    out, err = hub(capsys, "verify", BASE, code=1)
    assert out == ""
    assert err.splitlines()[-2:] == [
        f"Error: {BASE} was not saved by hub-core, so it has nothing to compare with",
        "Hint: measure it on labelled data: hub evaluate",
    ]
    assert notes.read(notes.PROOFS) == {}
