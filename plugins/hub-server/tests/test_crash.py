"""Killed between any two steps, the server has the old state or the new one."""

import hashlib
import resource
import sqlite3

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.utils import httpx

STEPS = {
    "hub_server.blobs:os.replace": "before a content is in its place",
    "hub_server.blobs:_force": "before its folder is on disk",
    "hub_server.uploads:received": "before an upload is written down",
    "hub_server.api_commit:read": "before the commit is read",
    "hub_server.api_commit:put": "before the commit is made, in its transaction",
    "hub_server.history:set_ref": "before the branch moves",
    "hub_server.committing:describe": "before the card is written down",
}


def push(api):
    """Commit past the client's own retries, which would wait for a server that is dead."""
    add = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=name.encode() * 100)
        for name in ("model.safetensors", "README.md")
    ]
    return api.create_commit("team/mood", add, commit_message="push").oid


def check(folder):
    """Look for anything that is half there."""
    db = sqlite3.connect(folder / "hub.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    question = "SELECT count(*) FROM commits WHERE id NOT IN (SELECT commit_id FROM files)"
    assert db.execute(question).fetchone() == (0,)
    contents = {
        row[0] for row in db.execute("SELECT sha256 FROM files UNION SELECT sha256 FROM large")
    }
    db.close()
    kept = {path.name: path for path in (folder / "blobs").rglob("*") if path.is_file()}
    assert contents <= kept.keys()
    for name, path in kept.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("step", STEPS, ids=STEPS.values())
def test_nothing_is_half_committed(serve, step, monkeypatch):
    import huggingface_hub.utils._http as http

    monkeypatch.setattr(http.time, "sleep", lambda _: None)
    first = serve(dies_at=step)
    first.api().create_repo("team/mood")
    before = first.api().model_info("team/mood").sha
    first.flag.touch()
    with pytest.raises(Exception):  # noqa: B017, PT011
        push(first.api())
    assert first.process.wait() == -9
    second = serve()
    check(second.folder)
    api = second.api()
    assert api.model_info("team/mood").sha == before
    assert api.list_repo_files("team/mood") == [".gitattributes"]
    assert api.model_info("team/mood", revision=push(api)).id == "team/mood"
    check(second.folder)


def test_a_full_disk_is_said_and_leaves_nothing(serve):
    server = serve()
    api = server.api()
    api.create_repo("team/mood")
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (500_000, 500_000))
    content = bytes(600_000)
    oid = hashlib.sha256(content).hexdigest()
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}]}
    batch = httpx.post(f"{server.url}/team/mood.git/info/lfs/objects/batch", json=asked).json()
    done = httpx.put(batch["objects"][0]["actions"]["upload"]["href"], content=content)
    assert done.status_code == 507
    assert done.json()["error"] == "The server has no room left on its disk."
    check(server.folder)
    assert push(api)
