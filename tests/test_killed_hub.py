"""A Hub that is killed while our client is at work: whole in the end, or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from hubs import DYING, use
from huggingface_hub import HfApi
from huggingface_hub.utils import httpx
from safetensors.numpy import save_file
from sharing import NAME, hub, proven
from test_pull import ARTIFACTS, cached, commit

from hub_core import notes
from hub_core.errors import RemoteError
from hub_core.publishing import publish
from hub_core.remote import download, patience
from hub_core.remote.pull import Wishes, pull
from hub_core.remote.push import Wanted

LARGE = "model.safetensors"
SIZE = 20 * 2**20


class Killable:
    """A server in a process of its own, which can be killed and started again."""

    def __init__(self, folder):
        self.folder, self.flag = folder, folder.with_name("armed")
        self.port = "0"

    def start(self, dies_at=""):
        command = ["-c", DYING, dies_at, str(self.flag)] if dies_at else ["-m", "hub_core", "serve"]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--dir", str(self.folder), "--port", self.port],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        lines = [self.process.stdout.readline() for _ in range(2)]
        self.url = lines[0].strip().partition("=")[2]
        self.port = self.url.rpartition(":")[2]
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def start_when_dead(self):
        """Start again as soon as the server has died; return the thread that does."""

        def again():
            self.process.wait()
            self.process.stdout.close()
            self.flag.unlink()
            self.start()

        thread = threading.Thread(target=again)
        thread.start()
        return thread

    def api(self, token=False):
        return HfApi(endpoint=self.url, token=token)


@pytest.fixture
def server(tmp_path):
    made = Killable(tmp_path / "hub")
    yield made
    with contextlib.suppress(ValueError):
        made.kill()


@pytest.fixture
def settle(server, tmp_path, monkeypatch):
    """Start the server, make this process use it, with pauses in which it can start again."""

    def start(dies_at=""):
        server.start(dies_at)
        use(server.url, tmp_path, monkeypatch)
        monkeypatch.setattr(patience, "PAUSES", (0.1, 0.5, 1.0, 2.0))
        return server

    return start


# -- while we pull


@pytest.fixture
def large(tmp_path):
    """An artifact with a file of 20 MB, and its bytes."""
    folder = shutil.copytree(ARTIFACTS / "whole-plain", tmp_path / "large")
    noise = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    save_file({"noise": noise}, folder / LARGE)
    content = (folder / LARGE).read_bytes()
    path = folder / "hub.json"
    values = json.loads(path.read_text("utf-8"))
    digest = hashlib.sha256(content).hexdigest()
    values["files"][LARGE] = {"sha256": digest, "size": len(content)}
    path.write_text(json.dumps(values), encoding="utf-8")
    return folder, content


def killing(server, monkeypatch, *, again):
    """Kill the server once some of the large file has arrived; return where downloads began."""
    began = []
    receive, take = download._Arriving.receive, download._Arriving._take

    def noted(self, url, api, out):
        if url.endswith(LARGE):
            began.append(self.count)
        return receive(self, url, api, out)

    def dies(self, piece, out):
        take(self, piece, out)
        early = self.file.size > SIZE and len(began) == 1 and self.count > 2**20
        if early and server.process.poll() is None:
            server.kill()
            if again:
                server.start()

    monkeypatch.setattr(download._Arriving, "receive", noted)
    monkeypatch.setattr(download._Arriving, "_take", dies)
    return began


def test_a_pull_goes_on_where_it_was_when_the_hub_is_back(settle, large, monkeypatch):
    server = settle()
    folder, content = large
    head = commit(server, folder)
    began = killing(server, monkeypatch, again=True)
    arrived = []
    pulled = pull(NAME, Wishes(progress=arrived.append))
    assert pulled.address == f"{NAME}@{head}"
    assert (pulled.folder / LARGE).read_bytes() == content
    assert len(began) == 2
    assert 2**20 < began[1] < len(content)
    assert min(arrived) > 0  # nothing was thrown away
    assert sum(arrived) == pulled.fetched


def test_a_pull_from_a_hub_that_stays_dead_leaves_nothing(
    settle, large, monkeypatch, capsys, tmp_path
):
    server = settle()
    commit(server, large[0])
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    began = killing(server, monkeypatch, again=False)
    out, err = hub(capsys, "pull", NAME, "--to", tmp_path / "copy", code=1)
    assert out == ""
    [error, hint] = err.splitlines()
    assert error.startswith(f"Error: {NAME}@")
    assert ": the Hub cannot be reached: " in error
    assert hint == "Hint: check your connection and HF_ENDPOINT, then try again"
    assert began[0] == 0
    assert cached() == []
    assert list((notes.cache_folder() / "artifacts").rglob(".part-*")) == []
    assert not (tmp_path / "copy").exists()


# -- while we push


@pytest.fixture
def artifact(tmp_path):
    return shutil.copytree(ARTIFACTS / "whole-plain", tmp_path / "out")


def arm(server, monkeypatch, method, part):
    """Have the server die once a request has come whose path has a part."""
    real = httpx.Client.send

    def send(self, request, **settings):
        if request.method == method and part in request.url.path and not armed:
            armed.append(str(request.url))
            server.flag.touch()
        return real(self, request, **settings)

    armed = []
    monkeypatch.setattr(httpx.Client, "send", send)
    return armed


STEPS = {
    "while a large file is sent": ("hub_server.blobs:Incoming.write", "PUT", "/"),
    "before a large file counts": ("hub_server.uploads:received", "PUT", "/"),
    "before the commit is made": ("hub_server.api_commit:put", "POST", "/commit/"),
    "before the branch moves": ("hub_server.history:set_ref", "POST", "/commit/"),
    "before the answer is sent": ("hub_server.api_commit:JSONResponse", "POST", "/commit/"),
}


def state(server):
    """Return the newest commit and all files of the repository."""
    return server.api().model_info(NAME).sha, set(server.api().list_repo_files(NAME))


@pytest.mark.parametrize("step", STEPS)
def test_a_push_ends_well_when_the_hub_is_back(settle, artifact, monkeypatch, step):
    place, method, part = STEPS[step]
    server = settle(place)
    server.api().create_repo(NAME)
    proven(artifact)
    armed = arm(server, monkeypatch, method, part)
    thread = server.start_when_dead()
    done = publish(artifact, Wanted(NAME))
    thread.join()
    assert armed
    listed = json.loads((artifact / "hub.json").read_text("utf-8"))["files"]
    head, files = state(server)
    assert head == done.commit
    assert files >= {"hub.json", "README.md", *listed}
    assert len(server.api().list_repo_commits(NAME)) == 2
    assert pull(NAME).address == f"{NAME}@{head}"


@pytest.mark.parametrize("step", ["while a large file is sent", "before the branch moves"])
def test_a_push_to_a_hub_that_stays_dead_changes_nothing(
    settle, artifact, monkeypatch, step, capsys, caplog
):
    place, method, part = STEPS[step]
    server = settle(place)
    server.api().create_repo(NAME)
    before = state(server)
    proven(artifact)
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr("time.sleep", lambda _: None)
    arm(server, monkeypatch, method, part)
    with pytest.raises(RemoteError) as found:
        publish(artifact, Wanted(NAME))
    assert server.process.wait() == -9
    told = capsys.readouterr().err + caplog.text
    assert "sig=" not in told
    assert ("<secret>" in told) == (method == "PUT")  # the client tells what it asks again
    assert found.value.message.startswith(f"{NAME}: the Hub cannot be reached: ")
    assert found.value.hint == "check your connection and HF_ENDPOINT, then try again"
    server.start()
    assert state(server) == before


def test_a_connection_that_another_thread_has_closed_is_made_again(monkeypatch):
    monkeypatch.setattr(patience, "PAUSES", (0.0,))
    client = httpx.Client()
    client.close()
    asked = []

    def ask():
        asked.append(1)
        return client.get("http://127.0.0.1:9") if len(asked) == 1 else "answer"

    assert patience.patiently("team/mood", ask) == "answer"
    with pytest.raises(RemoteError) as found:
        patience.patiently("team/mood", lambda: client.get("http://127.0.0.1:9"))
    assert found.value.message == ("team/mood: the Hub cannot be reached: the connection was lost")


def test_a_bug_is_not_taken_for_a_lost_connection():
    def ask():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        patience.patiently("team/mood", ask)
