"""Tokens end, gates stay shut, and nobody calls without end."""

import sqlite3

import pytest
from click.testing import CliRunner
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from huggingface_hub.utils import httpx

from hub_server.command import serve as command

TOKENS = ["--token", "ann:write:team", "--token", "bob:write"]


def refused(call):
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return caught.value.response


def revoke(server, user):
    return CliRunner().invoke(command, ["--dir", str(server.folder), "--revoke", user])


def test_a_token_ends_after_its_days(serve):
    server = serve("--token", "ann:write", "--days", "1e-9")
    answer = refused(server.api(server.tokens[0]).whoami)
    assert answer.status_code == 401
    wanted = "Invalid credentials in Authorization header: the token expired"
    assert answer.headers["x-error-message"] == wanted
    assert refused(lambda: server.api(False).create_repo("team/mood")).status_code == 401


def test_a_token_with_days_left_is_valid(serve):
    server = serve("--token", "ann:write", "--days", "1")
    assert server.api(server.tokens[0]).whoami()["name"] == "ann"


def test_revoked_tokens_are_refused_by_the_running_server_at_once(serve):
    server = serve(*TOKENS, "--token", "bob:read")
    ann, bob, reader = (server.api(token) for token in server.tokens)
    assert reader.whoami()["name"] == "bob"
    assert revoke(server, "bob").output == "bob: 2 tokens revoked\n"
    for one in (bob, reader):
        assert refused(one.whoami).status_code == 401
    assert ann.whoami()["name"] == "ann"


def test_a_server_without_tokens_left_is_not_open_to_everybody(serve):
    first = serve(*TOKENS)
    for user in ("ann", "bob"):
        assert revoke(first, user).output == f"{user}: 1 token revoked\n"
    first.kill()
    second = serve()
    assert refused(lambda: second.api(False).create_repo("team/mood")).status_code == 401


def test_tokens_of_an_earlier_version_stay_valid(serve):
    first = serve(*TOKENS)
    first.kill()
    with sqlite3.connect(first.folder / "hub.sqlite") as db:
        db.execute("ALTER TABLE tokens DROP COLUMN expires")
        db.execute("DELETE FROM settings WHERE name = 'guarded'")
    db.close()
    second = serve()
    assert second.api(first.tokens[0]).whoami()["name"] == "ann"
    assert refused(lambda: second.api(False).create_repo("team/mood")).status_code == 401


def test_tokens_are_revoked_only_where_there_are_some(tmp_path):
    done = CliRunner().invoke(command, ["--dir", str(tmp_path), "--revoke", "ann"])
    assert done.exit_code == 2
    wanted = f"--revoke: there is no server's data in {tmp_path}; name it with --dir"
    assert wanted in done.output
    assert list(tmp_path.iterdir()) == []
    both = ["--dir", str(tmp_path), "--revoke", "ann", "--token", "ann:write"]
    wanted = "--revoke serves nothing: give --token in a call of its own"
    assert wanted in CliRunner().invoke(command, both).output


@pytest.mark.parametrize("gated", ["auto", "manual"])
def test_a_gated_repository_is_known_to_all_and_read_by_its_owners(serve, tmp_path, gated):
    server = serve(*TOKENS)
    ann, bob = (server.api(token) for token in server.tokens)
    ann.create_repo("team/mood")
    ann.update_repo_settings("team/mood", gated=gated)
    assert bob.model_info("team/mood").gated == gated
    assert bob.list_repo_files("team/mood") == [".gitattributes"]
    assert ann.hf_hub_download("team/mood", ".gitattributes", cache_dir=tmp_path / "ann")
    ann.auth_check("team/mood")
    for other, status in ((bob, 403), (server.api(False), 401)):
        with pytest.raises(GatedRepoError) as caught:
            other.hf_hub_download("team/mood", ".gitattributes", cache_dir=tmp_path / "other")
        assert caught.value.response.status_code == status
        with pytest.raises(GatedRepoError):
            other.auth_check("team/mood")
    ann.update_repo_settings("team/mood", gated=False)
    assert bob.hf_hub_download("team/mood", ".gitattributes", cache_dir=tmp_path / "bob")


def test_a_gate_is_one_of_three(serve):
    server = serve()
    server.api().create_repo("team/mood")
    url = f"{server.url}/api/models/team/mood/settings"
    answer = httpx.put(url, json={"gated": "perhaps"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "'gated' must be 'auto', 'manual' or false."}
    assert httpx.put(url, json={"visibility": "private"}).json() == {
        "private": True, "gated": False,
    }  # fmt: skip


def test_who_calls_too_often_is_told_when_to_come_back(serve):
    server = serve(*TOKENS, "--rate", "5")
    url = f"{server.url}/api/whoami-v2"
    ann, bob = ({"Authorization": f"Bearer {token}"} for token in server.tokens)
    answers = [httpx.get(url, headers=ann) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    last = answers[-1]
    wait = int(last.headers["retry-after"])
    assert 0 < wait <= 300
    assert last.headers["ratelimit"] == f'"api";r=0;t={wait}'
    assert last.headers["ratelimit-policy"] == '"fixed window";"api";q=5;w=300'
    wanted = f"More than 5 calls in 300 seconds: come back in {wait} seconds."
    assert last.json() == {"error": wanted}
    assert httpx.get(url, headers=bob).status_code == 200
