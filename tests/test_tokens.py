"""A token goes to the Hub that it is for, and nowhere that this Hub points to."""

import json
from pathlib import Path

import pytest
import sharing
from hubs import Running, changed, use
from huggingface_hub import constants, get_session
from huggingface_hub.utils import get_stored_tokens, httpx
from sharing import BASE, NAME
from test_publish import files_of
from test_pull import commit

from hub_core import notes
from hub_core.errors import RemoteError
from hub_core.publishing import Description, publish
from hub_core.remote import account, connection
from hub_core.remote.endpoint import TOKENS, Endpoint, current, digest
from hub_core.remote.push import Wanted

HUB = "https://huggingface.co"
HERE = "http://127.0.0.1:8080"
AWAY = "https://hub.example.org"
EXPLAIN = "do not use this Hub before its owner has explained that"


@pytest.fixture
def at(tmp_path, monkeypatch):
    """Have a Hub's address, and perhaps tokens in the environment and from a login."""

    def settle(url, environment="", kept="", noted=()):
        use(url, tmp_path, monkeypatch)
        if environment:
            monkeypatch.setenv("HF_TOKEN", environment)
        if kept:
            Path(constants.HF_TOKEN_PATH).parent.mkdir(parents=True, exist_ok=True)
            Path(constants.HF_TOKEN_PATH).write_text(kept, encoding="utf-8")
        for token, origin in dict(noted).items():
            notes.note(TOKENS, digest(token), origin)
        return current()

    return settle


# -- which token goes where


@pytest.mark.parametrize(
    ("url", "environment", "kept", "shown"),
    [
        (HUB, "hf_env", "", "hf_env"),
        (HUB, "", "hf_kept", "hf_kept"),
        (HUB, "hf_env", "hf_kept", "hf_env"),
        (HERE, "hf_env", "", "hf_env"),
        ("http://localhost:9", "hf_env", "", "hf_env"),
        ("http://[::1]:9", "hf_env", "", "hf_env"),
        (HERE, "", "hf_kept", ""),
        (AWAY, "hf_env", "", ""),
        (AWAY, "", "hf_kept", ""),
        ("https://huggingface.co.example.org", "hf_env", "hf_kept", ""),
        ("https://huggingface.co:8443", "hf_env", "hf_kept", ""),
        ("https://127.0.0.1.example.org", "hf_env", "hf_kept", ""),
    ],
)
def test_a_token_that_nobody_noted_is_the_hugging_face_hubs(at, url, environment, kept, shown):
    assert at(url, environment, kept).token == shown


def test_a_login_notes_which_hub_a_token_is_for(at):
    noted = {"hf_away": "https://hub.example.org:443"}
    assert at(AWAY, kept="hf_away", noted=noted).token == "hf_away"
    assert at(AWAY, environment="hf_away", noted=noted).token == "hf_away"
    assert at(HUB, environment="hf_away", kept="hf_away", noted=noted).token == ""
    assert at(HERE, environment="hf_away", kept="hf_away", noted=noted).token == ""


def test_a_note_holds_no_token(at):
    at(AWAY, noted={"hf_away": "https://hub.example.org:443"})
    assert "hf_away" not in (notes.cache_folder() / TOKENS).read_text("utf-8")


def test_a_token_file_that_cannot_be_read_is_told(at):
    at(HUB)
    Path(constants.HF_TOKEN_PATH).parent.mkdir(parents=True)
    Path(constants.HF_TOKEN_PATH).write_bytes(b"\xff\xfe")
    with pytest.raises(RemoteError) as found:
        current()
    assert found.value.message.startswith(f"{constants.HF_TOKEN_PATH} cannot be read: ")
    assert found.value.hint == "log in again: hub login"


def test_tokens_of_several_hubs_lie_side_by_side(running, tmp_path, monkeypatch):
    other = Running(tmp_path / "other-hub")
    try:
        tokens = {}
        for server, user in ((running, "ann"), (other, "bob")):
            monkeypatch.setattr(constants, "ENDPOINT", server.url)
            tokens[server.url] = server.token(user)
            assert account.login(tokens[server.url]).user == user
        for server, user in ((running, "ann"), (other, "bob")):
            monkeypatch.setattr(constants, "ENDPOINT", server.url)
            assert current().token == tokens[server.url]
            assert account.whoami().user == user
        seen = {h.get("authorization", "") for _, _, h in running.app.asked}
        assert f"Bearer {tokens[other.url]}" not in seen
        assert account.logout()
        assert list(get_stored_tokens().values()) == [tokens[running.url]]
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        assert account.whoami().user == "ann"
    finally:
        other.stop()


# -- addresses


@pytest.mark.parametrize("url", ["http://hub.example.org", "http://huggingface.co",
                                 "http://127.0.0.1.example.org", "http://192.168.0.7:8080"]
                         )  # fmt: skip
def test_plain_http_is_for_this_machine(at, url):
    with pytest.raises(RemoteError) as found:
        at(url, "hf_env")
    assert found.value.message == (
        f"{url} is not encrypted, so anybody on the way could read and change what is sent"
    )
    assert found.value.hint == "use https; plain http is for a Hub on this machine"


@pytest.mark.parametrize(
    "url",
    ["", "hub.example.org", "ftp://hub.example.org", "https://", "file:///etc", "https://a:b:c",
     "https://ann:secret@hub.example.org", "https://hub.example.org?x=1", "https://[::1",
     "https://hub.example.org#x", "https://hub.example.org:99999"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(at, url):
    with pytest.raises(RemoteError) as found:
        at(url, "hf_env")
    shown = url.rstrip("/")
    assert found.value.message == f"HF_ENDPOINT is {shown!r}, which is no address of a Hub"
    assert found.value.hint == "write https://HOST, or unset it for the Hugging Face Hub"


def test_a_slash_at_the_end_is_no_other_hub(at):
    noted = {"hf_away": "https://hub.example.org:443"}
    assert at(f"{AWAY}/", kept="hf_away", noted=noted) == Endpoint(AWAY, "hf_away")


# -- what is sent: no request leaves the process here


class Wire:
    """Answers every request by its address, and keeps what was asked."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def __call__(self, request):
        self.asked.append((str(request.url), request.headers.get("authorization", "")))
        for part, (status, headers) in self.answers.items():
            if part in str(request.url):
                return httpx.Response(status, headers=headers, request=request)
        return httpx.Response(200, json={}, request=request)


@pytest.fixture
def wire(monkeypatch):
    """Give a guarded client whose requests a ``Wire`` answers."""

    def client(**answers):
        made = Wire(**answers)
        hooks = {"request": [connection._check_request], "response": [connection._check_answer]}
        return made, httpx.Client(transport=httpx.MockTransport(made), event_hooks=hooks,
                                  follow_redirects=True)  # fmt: skip

    return client


def sent(client, endpoint, url, **headers):
    """Return the error of a request while a connection to a Hub is open, if there is one."""
    with connection.connected(endpoint):
        try:
            client.get(url, headers=headers)
        except RemoteError as error:
            return error
    return None


AUTHORIZED = {"authorization": "Bearer hf_secret"}
REMOTE = Endpoint(AWAY, "hf_secret")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://elsewhere.org/x", "https://elsewhere.org:443"),
        ("https://hub.example.org:8443/x", "https://hub.example.org:8443"),
        ("http://hub.example.org/x", "http://hub.example.org:80"),
        ("https://hub.example.org.elsewhere.org/", "https://hub.example.org.elsewhere.org:443"),
    ],
)
def test_a_token_is_sent_to_no_other_origin(wire, url, origin):
    made, client = wire()
    error = sent(client, REMOTE, url, **AUTHORIZED)
    assert error.message == f"{AWAY} asks to send its token to {origin}; nothing was sent"
    assert error.hint == EXPLAIN
    assert made.asked == []
    assert sent(client, REMOTE, f"{AWAY}/api", **AUTHORIZED) is None
    assert made.asked == [(f"{AWAY}/api", "Bearer hf_secret")]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("http://127.0.0.1:22/x", f"{AWAY} leads to http://127.0.0.1:22, which is on this machine"),
        ("https://localhost/x", f"{AWAY} leads to https://localhost:443, which is on this machine"),
        ("http://[::1]/x", f"{AWAY} leads to http://::1:80, which is on this machine"),
        ("http://files.org/x", f"{AWAY} leads to http://files.org:80, which is not encrypted"),
    ],
)
def test_a_redirect_inwards_or_in_the_clear_is_not_followed(wire, target, told):
    made, client = wire(away=(302, {"location": target}))
    error = sent(client, REMOTE, f"{AWAY}/away", **AUTHORIZED)
    assert (error.message, error.hint) == (told, EXPLAIN)
    assert [url for url, _ in made.asked] == [f"{AWAY}/away"]


def test_a_redirect_to_a_store_of_files_is_followed_without_the_token(wire):
    made, client = wire(away=(302, {"location": "https://files.org/x"}))
    assert sent(client, REMOTE, f"{AWAY}/away", **AUTHORIZED) is None
    assert made.asked == [(f"{AWAY}/away", "Bearer hf_secret"), ("https://files.org/x", "")]


def test_a_hub_on_this_machine_may_lead_to_this_machine(wire):
    made, client = wire(away=(302, {"location": "http://127.0.0.1:9/x"}))
    assert sent(client, Endpoint(HERE), f"{HERE}/away") is None
    assert len(made.asked) == 2


@pytest.mark.parametrize("value", ["../../x", "abc", "", "A" * 40])
def test_an_answer_whose_commit_is_none_is_refused(wire, value):
    _, client = wire(api=(200, {"x-repo-commit": value}))
    error = sent(client, REMOTE, f"{AWAY}/api")
    assert error.message == (
        f"https://hub.example.org:443 gives x-repo-commit {value!r}, which is no hash"
    )
    assert sent(client, REMOTE, "https://files.org/api") is None


def test_without_an_open_connection_others_are_left_alone(wire):
    made, client = wire()
    client.get("http://files.org/x", headers=AUTHORIZED)
    assert made.asked == [("http://files.org/x", "Bearer hf_secret")]


def test_the_clients_of_the_hub_are_guarded_and_keep_what_others_set_up(at):
    with connection.connected(at(HERE)):
        hooks = get_session().event_hooks
    assert connection._check_request in hooks["request"]
    assert connection._check_answer in hooks["response"]
    assert len(hooks["request"]) > 1  # the client's own


def test_xet_is_off_only_as_long_as_a_connection_is_open(at, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    endpoint = at(HERE)
    with connection.connected(endpoint):
        with connection.connected(endpoint):
            assert constants.HF_HUB_DISABLE_XET
        assert constants.HF_HUB_DISABLE_XET
    assert not constants.HF_HUB_DISABLE_XET


# -- where a Hub says that files should go


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sharing.trained(tmp_path_factory)


@pytest.mark.parametrize("action", ["upload", "verify"])
def test_an_address_for_uploads_elsewhere_gets_no_token(
    running, root, tmp_path, monkeypatch, action
):
    token = running.token("team")
    monkeypatch.setenv("HF_TOKEN", token)
    commit(running, root / "tiny-bert", name=BASE, token=token)
    other = Running(tmp_path / "other")

    def elsewhere(body):
        answer = json.loads(body)
        for found in answer["objects"]:
            if "actions" in found:
                real = found["actions"].get(action, {}).get("href", running.url)
                href = real.replace(running.url, other.url)
                found["actions"][action] = {"href": href}
        return json.dumps(answer).encode()

    running.app.rule("POST", "/info/lfs/objects/batch", changed(elsewhere))
    try:
        with pytest.raises(RemoteError) as found:
            publish(sharing.artifact(root, tmp_path), Wanted(NAME), Description(backbone_id=BASE))
        asked = [headers for _, _, headers in other.app.asked]
    finally:
        other.stop()
    assert all("authorization" not in headers for headers in asked)
    assert files_of(running) == set()
    if action == "verify":
        assert asked == []
        assert found.value.message == (
            f"{running.url} asks to send its token to {other.url}; nothing was sent"
        )
        assert found.value.hint == EXPLAIN
    else:
        assert asked
