"""An artifact is fetched by the real Hub client over HTTP, from a server with one repository."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import toydata

import hub_core
from hub_core.errors import RemoteError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers for ``team/mood`` what the Hub would."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        self.server.asked.append(f"{self.command} {self.path}")
        kind, _, rest = self.path.lstrip("/").partition("/resolve/")
        commit, _, name = rest.partition("/")
        file = self.server.folder / name
        if self.path.startswith("/api/models/team/mood"):
            self.send(json.dumps({"id": "team/mood", "sha": self.server.sha}).encode(), body=body)
        elif kind == "team/mood" and commit == COMMIT and name and file.is_file():
            self.send(file.read_bytes(), body=body, hashed=True)
        else:
            code = "EntryNotFound" if kind == "team/mood" else "RepoNotFound"
            self.send(b"", body=body, status=404, headers={"X-Error-Code": code,
                                                           "X-Repo-Commit": COMMIT})  # fmt: skip

    def send(self, content, *, body, status=200, hashed=False, headers=()):
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        if hashed:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A server with a trained artifact; what it was asked for."""
    folder = tmp_path / "served"
    values = toydata.recipe(strategies=["lora"])
    hub_core.train(values, toydata.labelled(48), out=folder, prove=False)
    (folder / "not-listed.bin").write_bytes(b"something else")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.asked, server.sha = folder, [], COMMIT
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(server, cwd, *arguments, code=0):
    """Run a command with the server as the Hub, whose address is read when the client starts."""
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(cwd / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HUB_CORE_CACHE": str(cwd / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "hub_core", *arguments], cwd=cwd, env=environment,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr


def train(server, cwd, reference, *, code=0):
    rows = "".join(json.dumps(row) + "\n" for row in toydata.labelled(48, seed=5))
    (cwd / "data.jsonl").write_text(rows, encoding="utf-8")
    return run(server, cwd, "train", "--from", reference, "--data", "data.jsonl", "--epochs", "1",
               "--out", "out", code=code)  # fmt: skip


@pytest.mark.parametrize("reference", ["team/mood", "team/mood@main", f"team/mood@{COMMIT}"])
def test_training_starts_from_an_artifact_on_the_hub(served, tmp_path, reference):
    train(served, tmp_path, reference)
    manifest = json.loads((tmp_path / "out" / "hub.json").read_text())
    [step] = manifest["lineage"]
    assert step["from"]["name"] == f"team/mood@{COMMIT}"
    asked = {line.rpartition("/")[2] for line in served.asked if line.startswith("GET /team")}
    listed = set(json.loads((served.folder / "hub.json").read_text())["files"])
    assert asked == listed | {"hub.json"}


def test_what_was_fetched_is_not_fetched_again(served, tmp_path):
    train(served, tmp_path, "team/mood")
    served.asked.clear()
    run(served, tmp_path, "train", "--from", "team/mood", "--data", "data.jsonl", "--epochs", "1",
        "--out", "again")  # fmt: skip
    assert not [line for line in served.asked if line.startswith("GET /team")]


def test_a_changed_file_is_refused(served, tmp_path):
    file = served.folder / "head.main.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    told = train(served, tmp_path, "team/mood", code=1)
    assert "head.main.safetensors has sha256" in told
    assert not (tmp_path / "out").exists()


def test_a_name_that_the_hub_does_not_have_is_one_sentence(served, tmp_path):
    told = train(served, tmp_path, "team/other", code=1)
    assert told.startswith("Error: team/other cannot be fetched from the Hub: ")
    assert told.splitlines()[-1] == "Hint: check the name and your connection, or give a folder"


def test_a_repository_without_a_manifest_is_no_artifact(served, tmp_path):
    (served.folder / "hub.json").unlink()
    assert train(served, tmp_path, "team/mood", code=1) == (
        f"Error: team/mood has no file hub.json at {COMMIT[:12]}\n"
        "Hint: it is no artifact, or not all of it was published\n"
    )


def test_a_commit_that_is_none_never_becomes_a_folder(served, tmp_path):
    served.sha = "../../elsewhere"
    told = train(served, tmp_path, "team/mood", code=1)
    assert told == "Error: the Hub gives no commit for team/mood, but '../../elsewhere'\n"


def test_without_a_server_the_error_says_what_to_do(monkeypatch):
    import huggingface_hub

    from hub_core import remote

    def refuse(*_, **__):
        raise OSError("connection refused\nand more")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(RemoteError) as caught:
        remote.fetch("team/mood")
    assert caught.value.message == "team/mood cannot be fetched from the Hub: connection refused"
    assert caught.value.hint == "check the name and your connection, or give a folder"
