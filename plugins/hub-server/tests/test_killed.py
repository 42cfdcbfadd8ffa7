"""A server that is killed while bytes flow, and started again where it was."""

import hashlib
import os
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.utils import httpx, tqdm

SIZE = 40 * 1024 * 1024


def push(api, content):
    add = [CommitOperationAdd(path_in_repo="model.safetensors", path_or_fileobj=content)]
    return api.create_commit("team/mood", add, commit_message="push").oid


def kept(server):
    return [path for part in ("blobs", "tmp") for path in (server.folder / part).rglob("*")
            if path.is_file()]  # fmt: skip


@pytest.fixture
def servers(serve):
    """Give a running server, and what kills it and starts it again at the same address."""
    running = [serve()]

    def again():
        running[-1].kill()
        running.append(serve(port=int(running[-1].url.rpartition(":")[2])))

    return running, again


def test_a_download_has_all_its_bytes_though_the_server_was_killed(servers, tmp_path):
    running, again = servers
    api, content = running[0].api(), os.urandom(SIZE)
    api.create_repo("team/mood")
    push(api, content)

    class Killing(tqdm):
        def update(self, n=1):
            if len(running) == 1:
                again()
            return super().update(n)

    def pull():
        return api.hf_hub_download(
            "team/mood", "model.safetensors", cache_dir=tmp_path / "c", tqdm_class=Killing
        )

    try:
        here = pull()
    except httpx.TransportError:  # a reset ends the client's call; a closed line it mends itself
        here = pull()
    assert len(running) == 2
    assert Path(here).read_bytes() == content


def test_an_upload_that_was_cut_leaves_nothing_and_works_again(servers):
    running, again = servers
    api, content = running[0].api(), os.urandom(SIZE)
    api.create_repo("team/mood")
    before = (api.model_info("team/mood").sha, kept(running[0]))
    oid = hashlib.sha256(content).hexdigest()
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": SIZE}]}
    url = f"{running[0].url}/team/mood.git/info/lfs/objects/batch"
    href = httpx.post(url, json=asked).json()["objects"][0]["actions"]["upload"]["href"]

    def halves():
        yield content[: SIZE // 2]
        again()
        yield content[SIZE // 2 :]

    with pytest.raises(httpx.TransportError):
        httpx.put(href, content=halves())
    assert len(running) == 2
    assert (api.model_info("team/mood").sha, kept(running[1])) == before
    assert "actions" in httpx.post(url, json=asked).json()["objects"][0]
    push(api, content)
    [large] = [file for file in kept(running[1]) if file.name == oid]
    assert large.read_bytes() == content
