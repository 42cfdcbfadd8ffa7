"""Very large files go in parts; large files can be forgotten."""

import hashlib
import os
from pathlib import Path

import huggingface_hub.lfs as lfs
import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.utils import httpx

SMALL = "import hub_server.multipart as m; m.FROM, m.PART = 100_000, 40_000"
CONTENT = os.urandom(130_000)
OID = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(serve):
    return serve(setup=SMALL)


@pytest.fixture
def upload(server, api):
    """Announce the content and give its upload's addresses."""
    api.create_repo("team/mood")
    asked = {"operation": "upload", "transfers": ["basic", "multipart"],
             "objects": [{"oid": OID, "size": len(CONTENT)}]}  # fmt: skip
    answer = httpx.post(f"{server.url}/team/mood.git/info/lfs/objects/batch", json=asked).json()
    assert answer["transfer"] == "multipart"
    return answer["objects"][0]["actions"]["upload"]


def send(upload, numbers, content=CONTENT):
    size = int(upload["header"]["chunk_size"])
    return [
        httpx.put(upload["header"][str(n)], content=content[size * (n - 1) : size * n])
        for n in numbers
    ]


def finish(upload, numbers):
    parts = [{"partNumber": n, "etag": "any"} for n in numbers]
    return httpx.post(upload["href"], json={"oid": OID, "parts": parts})


def test_the_client_sends_a_very_large_file_in_parts(server, api, monkeypatch, tmp_path):
    used, real = [], lfs._upload_multi_part
    monkeypatch.setattr(
        lfs, "_upload_multi_part", lambda *a, **k: used.append(k["chunk_size"]) or real(*a, **k)
    )
    api.create_repo("team/mood")
    files = {"big.safetensors": CONTENT, "small.safetensors": b"x"}
    add = [CommitOperationAdd(path_in_repo=n, path_or_fileobj=c) for n, c in files.items()]
    api.create_commit("team/mood", add, commit_message="push")
    assert used == [40_000]
    assert list((server.folder / "tmp").iterdir()) == []
    here = api.hf_hub_download("team/mood", "big.safetensors", cache_dir=tmp_path)
    assert Path(here).read_bytes() == CONTENT


def test_parts_may_come_in_any_order_and_twice(server, upload):
    assert [answer.status_code for answer in send(upload, [4, 2, 2, 1, 3])] == [200] * 5
    assert finish(upload, [1, 2, 3, 4]).status_code == 200
    path = server.folder / "blobs" / OID[:2] / OID[2:4] / OID
    assert path.read_bytes() == CONTENT


def test_a_missing_part_is_named(server, upload):
    send(upload, [1, 2, 4])
    answer = finish(upload, [1, 2, 3, 4])
    assert answer.status_code == 422
    assert answer.json() == {"error": "Part 3 of the upload has not arrived."}
    answer = finish(upload, [1, 2, 4])
    assert answer.json() == {"error": "The upload has 4 parts; name each of them in order."}
    assert not list((server.folder / "blobs").rglob(OID))


def test_parts_that_make_something_else_are_refused(server, upload):
    send(upload, [1, 2, 3, 4], bytes(len(CONTENT)))
    assert finish(upload, [1, 2, 3, 4]).status_code == 422
    assert not list((server.folder / "blobs").rglob(OID))
    send(upload, [1, 2, 3, 4])
    assert finish(upload, [1, 2, 3, 4]).status_code == 200


def test_a_parts_address_takes_that_part_only(upload):
    first = upload["header"]["1"]
    assert httpx.put(first, content=b"short").status_code == 422
    assert httpx.put(first, content=bytes(40_001)).status_code == 413
    assert httpx.put(first.replace("/1?", "/2?"), content=bytes(40_000)).status_code == 403
    assert httpx.put(upload["href"].replace("sig=", "sig=0"), content=CONTENT).status_code == 403


def test_large_files_are_forgotten_in_all_commits(api, tmp_path):
    api.create_repo("team/mood")
    for name in ("one.bin", "two.bin"):
        add = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=name.encode()),
               CommitOperationAdd(path_in_repo="a.txt", path_or_fileobj=name.encode())]  # fmt: skip
        api.create_commit("team/mood", add, commit_message=f"add {name}")
    api.create_tag("team/mood", tag="v1")
    known = {file.filename: file for file in api.list_lfs_files("team/mood")}
    assert set(known) == {"one.bin", "two.bin"}
    assert known["one.bin"].ref == "refs/heads/main"
    api.permanently_delete_lfs_files("team/mood", [known["one.bin"]])
    assert [file.filename for file in api.list_lfs_files("team/mood")] == ["two.bin"]
    titles = [commit.title for commit in api.list_repo_commits("team/mood", revision="v1")]
    assert titles == ["add two.bin", "add one.bin", "initial commit"]
    for commit in api.list_repo_commits("team/mood"):
        with pytest.raises(EntryNotFoundError):
            api.hf_hub_download("team/mood", "one.bin", revision=commit.commit_id,
                                cache_dir=tmp_path)  # fmt: skip
    assert api.list_repo_files("team/mood") == [".gitattributes", "a.txt", "two.bin"]
