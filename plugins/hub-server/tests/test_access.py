"""Tokens, private repositories, and names that are tricks."""

import hashlib
import json
import sqlite3

import pytest
from click.testing import CliRunner
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import httpx

from hub_server.command import serve as command

TOKENS = ["--token", "ann:write:team", "--token", "bob:write", "--token", "cat:read:team"]


@pytest.fixture
def guarded(serve):
    return serve(*TOKENS)


@pytest.fixture
def people(guarded):
    return [guarded.api(token) for token in guarded.tokens]


def commit(api, repo, name="a.txt", **more):
    add = CommitOperationAdd(path_in_repo=name, path_or_fileobj=b"text")
    return api.create_commit(repo, [add], commit_message="put", **more)


def status(call):
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return caught.value.response.status_code


def test_a_private_repository_is_hidden_from_others(guarded, people):
    ann, bob, cat = people
    ann.create_repo("team/secret", private=True)
    assert cat.model_info("team/secret").private
    for stranger in (bob, guarded.api(False)):
        with pytest.raises(RepositoryNotFoundError):
            stranger.model_info("team/secret")
        assert list(stranger.list_models()) == []
        assert status(lambda who=stranger: commit(who, "team/secret")) in (401, 404)
    url = f"{guarded.url}/team/secret/resolve/main/.gitattributes"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url).headers["x-error-code"] == "RepoNotFound"
    ann.update_repo_settings("team/secret", visibility="public")
    assert bob.model_info("team/secret").id == "team/secret"


def test_a_wrong_token_is_refused_even_where_none_is_needed(guarded, people):
    people[0].create_repo("team/open")
    assert guarded.api(False).model_info("team/open").id == "team/open"
    wrong = guarded.api("hf_wrong")
    assert status(lambda: wrong.model_info("team/open")) == 401
    assert status(wrong.whoami) == 401
    assert status(lambda: guarded.api(False).create_repo("team/new")) == 401


def test_roles_and_owners_decide_who_writes(people):
    ann, bob, cat = people
    assert ann.create_repo("team/open").repo_id == "team/open"
    assert ann.whoami()["orgs"][0]["name"] == "team"
    assert cat.whoami()["auth"]["accessToken"]["role"] == "read"
    for other in (bob, cat):
        assert status(lambda who=other: commit(who, "team/open")) == 403
        assert status(lambda who=other: who.delete_repo("team/open")) == 403
    assert status(lambda: bob.create_repo("team/mine")) == 403
    assert bob.create_repo("mine").repo_id == "bob/mine"


def test_who_may_not_write_may_ask_with_a_pull_request(people):
    ann, bob, cat = people
    ann.create_repo("team/open")
    asked = commit(bob, "team/open", create_pr=True)
    commit(bob, "team/open", "more.safetensors", revision=asked.pr_revision)
    assert ann.list_repo_files("team/open") == [".gitattributes"]
    assert "more.safetensors" in ann.list_repo_files("team/open", revision="refs/pr/1")
    assert status(lambda: commit(cat, "team/open", create_pr=True)) == 403
    own = commit(ann, "team/open", create_pr=True).pr_revision
    assert status(lambda: commit(bob, "team/open", revision=own)) == 403


def test_the_content_of_others_cannot_be_claimed_by_its_hash(guarded, people):
    ann, bob, _ = people
    ann.create_repo("team/secret", private=True)
    commit(ann, "team/secret", "model.safetensors")
    oid = hashlib.sha256(b"text").hexdigest()
    bob.create_repo("bob/copy")
    headers = {"Authorization": f"Bearer {guarded.tokens[1]}"}
    claim = [
        {"key": "header", "value": {"summary": "claim"}},
        {"key": "lfsFile", "value": {"path": "x.bin", "algo": "sha256", "oid": oid, "size": 4}},
    ]
    lines = "\n".join(json.dumps(line) for line in claim)
    done = httpx.post(f"{guarded.url}/api/models/bob/copy/commit/main", content=lines,
                      headers=headers)  # fmt: skip
    assert done.status_code == 400
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": 4}]}
    batch = httpx.post(f"{guarded.url}/bob/copy.git/info/lfs/objects/batch", json=asked,
                       headers=headers).json()  # fmt: skip
    assert "upload" in batch["objects"][0]["actions"]


def test_tokens_are_kept_as_hashes(guarded):
    with sqlite3.connect(guarded.folder / "hub.sqlite") as db:
        kept = str(db.execute("SELECT * FROM tokens").fetchall())
    db.close()
    assert not [token for token in guarded.tokens if token in kept]


@pytest.mark.parametrize("path", [
    "../x", "a/../../x", "/etc/x", "a\\..\\x", "C:/x", ".git/config", "a/.GIT/x", "a//b", "a/", ".",
    "nul.txt", "a\nb", "x" * 2000, "a/" + "y" * 300, "dot.",
])  # fmt: skip
def test_paths_that_are_tricks_are_refused(server, path):
    server.api().create_repo("team/mood")
    file = {"path": path, "content": "", "encoding": "base64"}
    lines = [{"key": "header", "value": {"summary": "trick"}}, {"key": "file", "value": file}]
    body = "\n".join(json.dumps(line) for line in lines)
    done = httpx.post(f"{server.url}/api/models/team/mood/commit/main", content=body)
    assert done.status_code == 422
    assert done.headers["x-error-code"] == "InvalidPath"
    assert server.api().list_repo_files("team/mood") == [".gitattributes"]


@pytest.mark.parametrize("path", [
    "%2e%2e/%2e%2e/hub.sqlite", "..%2f..%2fhub.sqlite", "%2fetc%2fpasswd", "a%00b", "a%5c..%5cb",
])  # fmt: skip
def test_nothing_but_files_of_a_repository_is_served(server, path):
    server.api().create_repo("team/mood")
    done = httpx.get(f"{server.url}/team/mood/resolve/main/{path}")
    assert done.status_code in (404, 422)


@pytest.mark.parametrize("name", ["../x", "a b", "x.git", "a..b", "-x", "x" * 97])
def test_names_that_are_none_are_refused(server, name):
    answer = httpx.post(f"{server.url}/api/repos/create",
                        json={"name": name, "organization": "team"})  # fmt: skip
    assert answer.status_code == 400


def test_files_in_each_others_way_are_refused(server):
    api = server.api()
    api.create_repo("team/mood")
    commit(api, "team/mood", "a/b.txt")
    for name in ("a", "A/b.txt", "a/B.txt", "a/b.txt/c"):
        assert status(lambda name=name: commit(api, "team/mood", name)) == 422


def test_an_upload_is_what_was_announced(server):
    api = server.api()
    api.create_repo("team/mood")
    oid = hashlib.sha256(b"right").hexdigest()
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": 5}]}
    batch = httpx.post(f"{server.url}/team/mood.git/info/lfs/objects/batch", json=asked).json()
    href = batch["objects"][0]["actions"]["upload"]["href"]
    assert httpx.put(href, content=b"wrong").status_code == 422
    assert httpx.put(href, content=b"too long").status_code == 413
    assert httpx.put(href.replace("size=5", "size=9"), content=b"right").status_code == 403
    assert list((server.folder / "tmp").iterdir()) == []
    assert httpx.put(href, content=b"right").status_code == 200


def test_pages_of_other_sites_are_not_answered(server):
    url = f"{server.url}/api/models"
    assert httpx.get(url, headers={"Origin": "https://evil.example"}).status_code == 403
    assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403


def test_answers_are_inert_and_carry_the_callers_id(server):
    answer = httpx.get(f"{server.url}/api/collections", headers={"X-Request-Id": "mine"})
    assert answer.status_code == 404
    assert answer.headers["x-error-code"] == "NotImplemented"
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_other_machines_need_a_token(tmp_path):
    done = CliRunner().invoke(command, ["--dir", str(tmp_path / "d"), "--host", "0.0.0.0"])
    assert done.exit_code == 2
    assert "--host 0.0.0.0 needs a token; make one with --token USER:write" in done.output
    done = CliRunner().invoke(command, ["--dir", str(tmp_path / "d"), "--token", "ann:admin"])
    assert "must read USER:ROLE[:TEAM,...], ROLE read or write" in done.output


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"key": "header"}',
        b'{"key": "header", "value": {}}',
        b'{"key": 1, "value": {"summary": "x"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "symlink", "value": {}}',
        b'{"key": "header", "value": {"summary": "x"}}\n'
        b'{"key": "file", "value": {"path": "a", "content": "?", "encoding": "base64"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n'
        b'{"key": "lfsFile", "value": {"path": "a", "oid": "../../x", "algo": "sha256"}}',
        b'{"key": "header", "value": {"summary": "\\ud800"}}\n'
        b'{"key": "file", "value": {"path": "a", "content": "\\ud800"}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_commit_that_cannot_be_read_is_a_sentence(server, body):
    server.api().create_repo("team/mood")
    done = httpx.post(f"{server.url}/api/models/team/mood/commit/main", content=body)
    assert done.status_code == 400
    assert done.json()["error"].endswith(".")
    assert server.api().list_repo_files("team/mood") == [".gitattributes"]
