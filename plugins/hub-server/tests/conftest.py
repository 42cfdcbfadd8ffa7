"""A real server in a process of its own, on a free port of this machine."""

import os
import subprocess
import sys

import pytest
from huggingface_hub import HfApi, constants


class Server:
    """A running server."""

    def __init__(self, folder, arguments=(), *, dies_at=None, setup="", port=0):
        self.folder, self.flag = folder, folder.with_name(f"{folder.name}.armed")
        plain = "from hub_server.command import serve; serve()"
        start = ["-c", f"{setup}\n{plain}"] if setup else ["-m", "hub_core", "serve"]
        if dies_at:
            from hubs import DYING  # of this repository's tests: the plugin's own tests lack it

            start = ["-c", DYING, dies_at, str(self.flag)]
        self.process = subprocess.Popen(
            [sys.executable, *start, "--dir", str(folder), "--port", str(port), *arguments],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.tokens = []
        made = sum(1 for argument in arguments if argument == "--token")
        lines = [self.process.stdout.readline() for _ in range(2 + made)]
        assert lines[0].startswith("export HF_ENDPOINT="), lines
        self.url = lines[0].strip().partition("=")[2]
        self.tokens = [line.partition("=")[2].split()[0] for line in lines[2:]]

    def api(self, token="unused"):
        return HfApi(endpoint=self.url, token=token)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(autouse=True)
def _plain_uploads(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def serve(tmp_path):
    """Start servers; all of them end with the test."""
    started = []

    def start(*arguments, name="hub", **more):
        started.append(Server(tmp_path / name, arguments, **more))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def api(server):
    return server.api()
