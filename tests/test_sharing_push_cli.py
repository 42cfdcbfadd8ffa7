"""Publishing as a user types it, with every flag; and who the Hub takes the user for."""

import io
import json
import sys
from pathlib import Path

import pytest
import sharing
from huggingface_hub import constants
from huggingface_hub.utils import get_stored_tokens
from sharing import BASE, NAME, hub, refused
from test_publish import files_of, heads
from test_pull import commit

from hub_core.remote.pull import pull


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sharing.trained(tmp_path_factory)


@pytest.fixture
def out(running, root, tmp_path, monkeypatch):
    """The folder ``out``, proven on this machine, in the folder where commands are typed."""
    monkeypatch.chdir(tmp_path)
    return sharing.artifact(root, tmp_path)


@pytest.fixture
def base(running, root):
    """The flags that name the backbone, which others have published."""
    commit(running, root / "tiny-bert", name=BASE)
    return ["--backbone-id", BASE]


def names(running):
    return [model.id for model in running.api().list_models()]


# -- push


def test_push_says_where_it_is_and_how_to_get_it(running, out, base, capsys):
    told, err = hub(capsys, "push", "out", NAME, *base)
    [head, _] = heads(running)
    assert told == f"Published {running.url}/{NAME}\nPull it with: hub pull {NAME}@{head}\n"
    assert err == ""
    again = f"Nothing to publish: {NAME}@{head[:12]} holds exactly this.\n"
    assert hub(capsys, "push", "out", NAME, *base) == (again, "")


def test_push_for_programs(running, out, base, capsys):
    told = json.loads(hub(capsys, "push", "out", NAME, *base, "--json")[0])
    assert told == {"name": NAME, "commit": heads(running)[0], "url": f"{running.url}/{NAME}",
                    "changed": True}  # fmt: skip
    assert not json.loads(hub(capsys, "push", "out", NAME, *base, "--json")[0])["changed"]


def test_what_is_said_of_it_is_found_by_search(running, out, base, capsys):
    flags = ["--private", "--license", "mit", "--language", "en", "--language", "de",
             "--dataset", "team/films", "--tag", "v1", "--message", "First words"]  # fmt: skip
    told, _ = hub(capsys, "push", "out", NAME, *base, *flags)
    assert told.splitlines()[1] == f"Pull it with: hub pull {NAME}@v1"
    info = running.api().model_info(NAME)
    assert info.private
    assert {"license:mit", "en", "de", "dataset:team/films"} <= set(info.tags)
    assert running.api().list_repo_commits(NAME)[0].title == "First words"
    assert pull(f"{NAME}@v1").address == f"{NAME}@{info.sha}"


def test_push_with_a_backbone_that_only_this_machine_has(running, out, root, capsys):
    flags = ["--with-backbone", "--backbone", root / "tiny-bert"]
    hub(capsys, "push", "out", NAME, *flags)
    assert {NAME, f"{NAME}-backbone"} <= set(names(running))
    assert hub(capsys, "predict", NAME, "a")[0].split()[0] in ("good", "bad")


def test_push_as_a_proposal_changes_no_branch(running, out, base, capsys):
    running.api().create_repo(NAME)
    before = heads(running)
    told, _ = hub(capsys, "push", "out", NAME, *base, "--pr")
    assert told == f"Proposed as {running.url}/{NAME}/discussions/1\n"
    assert heads(running) == before
    assert pull(f"{NAME}@refs/pr/1").ours


def test_a_dry_run_prints_card_and_files_and_publishes_nothing(running, out, base, capsys):
    told, err = hub(capsys, "push", "out", NAME, *base, "--dry-run", "--license", "mit")
    assert told.startswith("---\nlicense: mit\nbase_model: team/tiny-bert\n")
    assert "\n# mood\n" in told
    listed = {line.split("  ")[0] for line in err.splitlines()[1:-1]}
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors", "hub.json",
            "head.main.safetensors", "probe.json", "probe.safetensors"} <= listed  # fmt: skip
    assert err.splitlines()[-1] == "Nothing was published."
    assert names(running) == [BASE]


def test_push_never_deletes_what_is_no_artifact_unless_it_is_told_to(running, out, base, capsys):
    commit(running, **{"notes.txt": b"mine"})
    assert refused(capsys, "push", "out", NAME, *base) == (
        "Error: team/mood holds files that are of no artifact:\n  - notes.txt\n"
        "Hint: choose another name, or delete them with --overwrite\n"
    )
    assert files_of(running) == {"notes.txt"}
    hub(capsys, "push", "out", NAME, *base, "--overwrite")
    assert "notes.txt" not in files_of(running)


def test_what_is_no_artifact_is_told_before_the_hub_is_asked(running, tmp_path, capsys):
    told = refused(capsys, "push", tmp_path, NAME)
    assert told == (
        f"Error: {tmp_path} is no artifact: it has no hub.json\n"
        "Hint: name a folder that 'hub train' wrote\n"
    )
    assert running.app.asked == []


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "Error: the backbone tiny-bert has no Hub id, so nobody else could load the artifact\n"
         "Hint: publish it too: --with-backbone; or say where it is: --backbone-id owner/name\n"),
        (["--tag", "v1", "--pr"], "Error: --tag and --pr exclude each other\n"
         "Hint: tag the commit once the proposal is merged\n"),
        (["--with-backbone", "--backbone-id", BASE],
         "Error: --backbone-id and --with-backbone exclude each other\n"
         "Hint: say where the backbone is, or publish it\n"),
        (["--backbone-id", "team/none"],
         "Error: team/none does not exist on the Hub, or is private to others\n"
         "Hint: check the name; if it is private, log in with 'hub login', or ask its owner for "
         "access\n"),
    ],
)  # fmt: skip
def test_a_push_that_is_refused_publishes_nothing(running, out, capsys, flags, told):
    assert refused(capsys, "push", "out", NAME, *flags) == told
    assert names(running) == []


def test_a_proposal_to_what_is_not_there_is_told(running, out, base, capsys):
    assert refused(capsys, "push", "out", NAME, *base, "--pr") == (
        "Error: team/mood does not exist, so there is nothing to propose to\n"
        "Hint: check the name, or leave --pr out\n"
    )
    assert names(running) == [BASE]


def test_a_tag_keeps_its_meaning(running, out, base, capsys):
    hub(capsys, "push", "out", NAME, *base, "--tag", "v1")
    assert refused(capsys, "push", "out", NAME, *base, "--tag", "v1") == (
        "Error: team/mood has a tag v1 already, which must keep its meaning\n"
        "Hint: choose another tag\n"
    )


# -- login, whoami and logout


@pytest.fixture
def typed(monkeypatch, capsys):
    """Log in with what comes on standard input."""

    def login(text, code=0):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return hub(capsys, "login", code=code)

    return login


def test_login_keeps_the_token_where_the_client_of_the_hub_keeps_it(running, typed, capsys):
    token = running.token("ann", teams=("team",))
    assert typed(f"  {token}\r\n") == (
        f"Logged in at {running.url} as ann, role write.\n", ""
    )  # fmt: skip
    assert Path(constants.HF_TOKEN_PATH).read_text("utf-8") == token
    assert list(get_stored_tokens().values()) == [token]
    line = f"ann at {running.url}, role write, teams: team\n"
    assert hub(capsys, "whoami") == (line, "")
    assert json.loads(hub(capsys, "whoami", "--json")[0]) == {
        "user": "ann", "teams": ["team"], "role": "write", "url": running.url,
    }  # fmt: skip


def test_what_one_is_logged_in_as_is_what_the_hub_sees(running, out, root, typed, capsys):
    flags = ["--with-backbone", "--backbone", root / "tiny-bert"]
    token = running.token("team")
    assert refused(capsys, "push", "out", NAME, *flags) == (
        "Error: team/mood-backbone: the Hub does not accept this token: A token is needed to make "
        "a repository.\nHint: log in again: 'hub login'\n"
    )
    typed(token)
    hub(capsys, "push", "out", NAME, *flags, "--private")
    assert hub(capsys, "pull", NAME)[0]
    hub(capsys, "logout")
    assert "or is private to others" in refused(capsys, "pull", f"{NAME}@main")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hf_wrong\n", "Error: {url}: the Hub does not accept this token: Invalid user token.\n"
         "Hint: log in again: 'hub login'\n"),
        ("", "Error: that is no token\nHint: make one at {url}/settings/tokens\n"),
        ("  \n", "Error: that is no token\nHint: make one at {url}/settings/tokens\n"),
        ("hf_a b\n", "Error: that is no token\nHint: make one at {url}/settings/tokens\n"),
        ("hf_ä\n", "Error: that is no token\nHint: make one at {url}/settings/tokens\n"),
    ],
)  # fmt: skip
def test_a_token_that_is_not_accepted_is_not_kept(running, typed, capsys, text, told):
    running.token("ann")
    assert typed(text, code=1) == ("", told.format(url=running.url))
    assert not Path(constants.HF_TOKEN_PATH).exists()
    assert get_stored_tokens() == {}


def test_a_wrong_token_leaves_the_right_one(running, typed, capsys):
    token = running.token("ann")
    typed(token)
    typed("hf_wrong", code=1)
    assert hub(capsys, "whoami")[0] == f"ann at {running.url}, role write\n"


def test_whoever_is_not_logged_in_is_told_how_to(running, capsys):
    told = f"Error: you are not logged in at {running.url}\nHint: log in: hub login\n"
    assert refused(capsys, "whoami") == told
    assert refused(capsys, "whoami", "--json") == told
    assert hub(capsys, "logout") == ("", f"You were not logged in at {running.url}.\n")


def test_a_token_of_another_hub_is_not_shown_to_this_one(running, capsys):
    path = Path(constants.HF_TOKEN_PATH)
    path.parent.mkdir(parents=True)
    path.write_text("hf_of_the_hugging_face_hub", encoding="utf-8")
    assert refused(capsys, "whoami") == (
        f"Error: you are not logged in at {running.url}; the token that is here belongs to "
        "another Hub and is not shown to this one\n"
        "Hint: log in with a token of this Hub: hub login\n"
    )
    hub(capsys, "search")
    assert running.app.asked
    assert all("authorization" not in headers for _, _, headers in running.app.asked)
    assert hub(capsys, "logout") == ("", f"You were not logged in at {running.url}.\n")
    assert path.read_text("utf-8") == "hf_of_the_hugging_face_hub"


def test_logout_forgets_the_token(running, typed, capsys):
    typed(running.token("ann"))
    assert hub(capsys, "logout")[1].splitlines()[-1] == f"Logged out of {running.url}."
    assert not Path(constants.HF_TOKEN_PATH).exists()
    assert get_stored_tokens() == {}
    assert hub(capsys, "logout") == ("", f"You were not logged in at {running.url}.\n")


def test_logout_says_that_the_environment_still_has_a_token(running, typed, capsys, monkeypatch):
    token = running.token("ann")
    typed(token)
    monkeypatch.setenv("HF_TOKEN", token)
    out, err = hub(capsys, "logout", code=1)
    assert out == ""
    assert err.endswith(
        "Error: the token was forgotten, but To log out, you must clear out both `HF_TOKEN` and "
        "`HUGGING_FACE_HUB_TOKEN` environment variables.\nHint: unset HF_TOKEN in this shell\n"
    )
    assert get_stored_tokens() == {}


@pytest.mark.parametrize("answer", [[], {}, {"name": 3}, {"name": "ann", "orgs": 5}, "ann"])
def test_an_answer_that_names_nobody_is_told(running, capsys, monkeypatch, answer):
    body = json.dumps(answer).encode()
    running.app.rule("GET", "whoami", lambda *_: (200, {"content-type": "application/json"}, body))
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    assert refused(capsys, "whoami") == (
        f"Error: {running.url} does not say who you are\n"
        "Hint: check that HF_ENDPOINT is the address of a Hub\n"
    )


def test_a_name_that_a_terminal_would_obey_is_not_printed_as_it_is(running, capsys, monkeypatch):
    body = json.dumps({"name": "ann\x1b[2J", "orgs": [{"name": "a\x1bb"}]}).encode()
    running.app.rule("GET", "whoami", lambda *_: (200, {"content-type": "application/json"}, body))
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    told, _ = hub(capsys, "whoami")
    assert told == f"ann [2J at {running.url}, role unknown, teams: a b\n"
