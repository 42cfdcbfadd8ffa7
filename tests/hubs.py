"""A real Hub in this process whose answers tests may tamper with, and the settings to use it."""

import contextlib
import json
import socket
import threading
import time

import pytest
import uvicorn
from huggingface_hub import HfApi, constants

from hub_core.remote import patience
from hub_server.access import add_token
from hub_server.app import Hub

DYING = """
import importlib, os, pathlib, signal, sys
place, flag = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
module, _, name = place.partition(":")
holder = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    holder = getattr(holder, part)
real = getattr(holder, last)
def dies(*values, **named):
    if flag.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*values, **named)
setattr(holder, last, dies)
from hub_server.command import serve
serve()
"""
"""A server that kills itself at a function, if a file is there."""


class Tampered:
    """The server's application with rules in front of it.

    A rule is ``(matches, answer)``: ``matches(method, path)``, and ``answer(response)`` gives the
    status, headers and body to send instead of the real ones. A rule may be limited to so many
    requests.
    """

    def __init__(self, folder):
        self.hub = Hub(folder)
        self.rules, self.asked, self.sent = [], [], 0

    def rule(self, method, part, answer, times=None, after=0):
        """Tamper with answers to requests of a method whose path has a part."""
        self.rules.append({"method": method, "part": part, "answer": answer,
                           "left": times, "after": after})  # fmt: skip

    async def __call__(self, scope, receive, send):
        path = scope.get("raw_path", b"").decode()
        headers = {k.decode(): v.decode() for k, v in scope.get("headers", [])}
        self.asked.append((scope.get("method"), path, headers))
        answer = self._rule(scope.get("method"), path)
        held = []

        async def keep(message):
            if answer is None:
                self.sent += len(message.get("body", b""))
                await send(message)
            else:
                held.append(message)

        if getattr(answer, "blocks", False):
            held = [{"status": 0, "headers": []}]
        else:
            await self.hub(scope, receive, keep)
        if answer is not None:
            await self._instead(answer, held, send)

    def _rule(self, method, path):
        for rule in self.rules:
            if method == rule["method"] and rule["part"] in path and rule["left"] != 0:
                if rule["after"]:
                    rule["after"] -= 1
                    continue
                if rule["left"] is not None:
                    rule["left"] -= 1
                return rule["answer"]
        return None

    async def _instead(self, answer, held, send):
        body = b"".join(message.get("body", b"") for message in held)
        real = {k.decode().lower(): v.decode() for k, v in held[0]["headers"]}
        status, headers, body = answer(held[0]["status"], real, body)
        length = headers.pop("content-length", str(len(body)))
        raw = [(k.encode(), v.encode()) for k, v in {**headers, "content-length": length}.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def status(code, headers=(), message="no"):
    """Answer with an error status; the real server never hears of the request."""
    answer = lost(code, headers, message)
    answer.blocks = True
    return answer


def lost(code, headers=(), message="no"):
    """Do what is asked, and answer with an error status all the same."""

    def answer(*_):
        body = json.dumps({"error": message}).encode()
        return code, {"content-type": "application/json", **dict(headers)}, body

    return answer


def header(name, value):
    """Answer as is, but with another header."""
    return lambda code, headers, body: (code, {**headers, name: value}, body)


def changed(change):
    """Answer as is, but with a changed body."""
    return lambda code, headers, body: (code, headers | {"content-length": str(len(change(body)))},
                                        change(body))  # fmt: skip


class Running:
    """A running server: its address, its rules, and huggingface_hub's interface to it."""

    def __init__(self, folder):
        self.app = Tampered(folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        config = uvicorn.Config(self.app, log_level="critical", lifespan="off", access_log=False)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.005)

    def token(self, user, role="write", teams=()):
        with self.app.hub.database.writing() as db:
            return add_token(db, user, role, tuple(teams))

    def api(self, token=False):
        return HfApi(endpoint=self.url, token=token)

    def stop(self):
        self.server.should_exit = True
        self.server.force_exit = True
        self.thread.join(timeout=10)
        with contextlib.suppress(OSError):
            self.listener.close()


@pytest.fixture
def running(tmp_path, monkeypatch):
    """A server that this process takes for the Hub, with an empty cache and no token."""
    server = Running(tmp_path / "hub")
    use(server.url, tmp_path, monkeypatch)
    yield server
    server.stop()


def use(url, tmp_path, monkeypatch):
    """Make this process use a Hub, with a cache and a token store of its own, and no pauses."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "hf" / "stored"))
    monkeypatch.setenv("HUB_CORE_CACHE", str(tmp_path / "core-cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0, 0.0))
