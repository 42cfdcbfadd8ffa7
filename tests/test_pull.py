"""Pulling: pinned, listed, checked, and nothing half-fetched, whatever a Hub does."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hubs import changed, header, status
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, constants

import hub_core
from hub_core import notes
from hub_core.errors import (
    FormatError,
    IntegrityError,
    RemoteError,
    UnknownMethodError,
)
from hub_core.remote import download, lockfile, store
from hub_core.remote.look import look
from hub_core.remote.pull import Wishes, hashes, pull

ARTIFACTS = Path(__file__).parent / "data" / "artifacts" / "format-1"
NAME = "team/mood"
COMMIT = r"[0-9a-f]{12}"


def commit(running, folder=None, name=NAME, token=False, gone=(), **files):
    """Commit a folder's files and others, as somebody who does not use ``hub push`` could."""
    api = running.api(token)
    api.create_repo(name, exist_ok=True)
    paths = [path for path in folder.rglob("*") if path.is_file()] if folder else []
    found = {path.relative_to(folder).as_posix(): str(path) for path in paths} | files
    operations = [CommitOperationAdd(path, content) for path, content in found.items()]
    operations += [CommitOperationDelete(path) for path in gone]
    before, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    try:
        return api.create_commit(name, operations, commit_message="x").oid
    finally:
        constants.HF_HUB_DISABLE_XET = before


def edited(folder, **changes):
    """Change fields of ``hub.json``."""
    path = folder / "hub.json"
    values = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps(values), encoding="utf-8")


def cached():
    """Return every file and folder that pulling left in the cache."""
    root = notes.cache_folder() / "artifacts"
    return [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else []


@pytest.fixture
def artifact(tmp_path):
    folder = tmp_path / "artifact"
    shutil.copytree(ARTIFACTS / "head-only", folder)
    return folder


def refused(kind, text=NAME, wishes=None):
    """Return the error of a pull, after which nothing may be in the cache."""
    with pytest.raises(kind) as found:
        pull(text, wishes)
    assert cached() == []
    return found.value


# -- what goes well


def test_a_pulled_artifact_has_the_bytes_that_were_published(running, artifact):
    head = commit(running, artifact)
    pulled = pull(NAME)
    assert pulled.address == f"{NAME}@{head}"
    assert pulled.ours
    listed = json.loads((artifact / "hub.json").read_text("utf-8"))["files"]
    assert {path.name for path in pulled.folder.iterdir()} == {"hub.json", *listed}
    for path in pulled.folder.iterdir():
        assert path.read_bytes() == (artifact / path.name).read_bytes()
    assert pulled.fetched == sum(path.stat().st_size for path in pulled.folder.iterdir())


def test_what_hub_json_does_not_list_is_not_fetched(running, artifact):
    commit(running, artifact, **{"train.py": b"print()", "old.bin": b"x", "sub/y.json": b"{}"})
    assert not {"train.py", "old.bin", "sub"} & {path.name for path in pull(NAME).folder.iterdir()}


def test_a_commit_that_is_here_is_not_fetched_again(running, artifact):
    head = commit(running, artifact)
    pull(NAME)
    asked = len(running.app.asked)
    again = pull(f"{NAME}@{head}")
    assert again.fetched == 0
    assert len(running.app.asked) == asked


def test_a_branch_means_its_newest_commit(running, artifact):
    first = commit(running, artifact)
    assert pull(NAME).address == f"{NAME}@{first}"
    second = commit(running, **{"note.txt": b"more"})
    assert pull(f"{NAME}@main").address == f"{NAME}@{second}"
    assert pull(f"{NAME}@{first}").address == f"{NAME}@{first}"


def test_two_hubs_never_share_a_folder(running, artifact, tmp_path):
    from hub_core.remote.endpoint import Endpoint

    places = {store.place(Endpoint(url), NAME, "0" * 40) for url in (
        "https://huggingface.co", "https://huggingface.co:8443", "http://huggingface.co",
        "https://huggingface.co/mirror", "http://127.0.0.1:80", "http://127.0.0.1:81")}  # fmt: skip
    assert len(places) == 6


# -- without the Hub


def test_what_was_pulled_is_found_when_the_hub_cannot_be_asked(running, artifact, monkeypatch):
    commit(running, artifact)
    folder = pull(NAME).folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pull(NAME).folder == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    running.stop()
    assert pull(NAME).folder == folder


def test_offline_what_is_missing_is_named(running, artifact, monkeypatch):
    commit(running, artifact)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = refused(RemoteError)
    assert error.message == (
        "team/mood is needed from the Hub, and HF_HUB_OFFLINE forbids asking it"
    )
    assert error.hint == "unset HF_HUB_OFFLINE, or fetch it before: hub pull"


def test_a_hub_that_cannot_be_reached_is_told(running):
    running.stop()
    error = refused(RemoteError)
    assert error.message.startswith("team/mood: the Hub cannot be reached: ")
    assert error.hint == "check your connection and HF_ENDPOINT, then try again"


# -- what is not there, or not for us


def test_a_repository_that_does_not_exist(running):
    error = refused(RemoteError)
    assert error.message == "team/mood does not exist on the Hub, or is private to others"
    assert error.hint == (
        "check the name; if it is private, log in with 'hub login', or ask its owner for access"
    )


def test_a_revision_that_does_not_exist(running, artifact):
    commit(running, artifact)
    error = refused(RemoteError, f"{NAME}@v9")
    assert error.message == "team/mood@v9: the repository has no such branch, tag or commit"


def test_a_commit_that_does_not_exist(running, artifact):
    commit(running, artifact)
    error = refused(RemoteError, f"{NAME}@{'1' * 40}")
    assert error.message == (
        "team/mood@111111111111: the repository has no such branch, tag or commit"
    )


def test_a_file_that_hub_json_lists_and_nobody_has(running, artifact):
    commit(running, artifact)
    commit(running, gone=["probe.json"])
    error = refused(IntegrityError)
    assert error.message.partition(" ")[2] == (
        "is not what was published:\n  - probe.json is missing"
    )


def test_a_wrong_token_is_told(running, artifact, monkeypatch):
    token = running.token("team")
    commit(running, artifact, token=token)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    error = refused(RemoteError)
    assert error.message == (
        "team/mood: the Hub does not accept this token: Invalid credentials in Authorization header"
    )
    assert error.hint == "log in again: 'hub login'"


def test_a_private_repository_looks_absent_to_others(running, artifact, monkeypatch):
    token = running.token("team")
    running.api(token).create_repo(NAME, private=True)
    commit(running, artifact, token=token)
    assert "or is private to others" in refused(RemoteError).message
    monkeypatch.setenv("HF_TOKEN", running.token("somebody"))
    assert "or is private to others" in refused(RemoteError).message
    monkeypatch.setenv("HF_TOKEN", token)
    assert pull(NAME).ours


def test_a_gated_repository_says_whom_to_ask(running, artifact):
    commit(running, artifact)
    gated = status(403, {"X-Error-Code": "GatedRepo"})
    running.app.rule("GET", "/resolve/", gated)
    error = refused(RemoteError)
    assert error.message.endswith("hub.json is gated: its owner must let you in first")
    assert error.hint == "ask for access on its page, then 'hub login'"


@pytest.mark.parametrize("text", ["mood", "a/b/c", "team/../x", "team/mood@../v1", "-a/b", "a/b@"])
def test_what_is_no_name_is_refused(running, text):
    error = refused(RemoteError, text)
    assert error.message == f"{text!r} is no name of a repository"
    assert running.app.asked == []


# -- a Hub that is slow, full or down


STEPS = [("GET", "/api/models/team/mood/revision"), ("GET", "/tree/"), ("GET", "/resolve/")]


@pytest.mark.parametrize(("method", "part"), [("GET", "/api/models/team/mood"), *STEPS[1:]])
@pytest.mark.parametrize("code", [429, 503])
def test_what_may_pass_is_asked_again(running, artifact, method, part, code, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    commit(running, artifact)
    running.app.rule(method, part, status(code), times=1)
    assert pull(NAME).ours


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(("method", "part"), [("GET", "/api/models/team/mood"), *STEPS[1:]])
def test_what_does_not_pass_is_told(running, artifact, method, part, code, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    commit(running, artifact)
    running.app.rule(method, part, status(code))
    error = refused(RemoteError)
    wanted = {429: "the Hub asks for fewer requests: ", 503: "the Hub answers 503: "}[code]
    assert wanted in error.message


def test_a_hub_that_asks_to_be_left_alone_is(running, artifact, monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    commit(running, artifact)
    running.app.rule("GET", "/resolve/", status(429, {"Retry-After": "7"}), times=1)
    pull(NAME)
    assert waited == [7.0]


def test_a_pause_that_is_too_long_is_told_instead(running, artifact):
    commit(running, artifact)
    running.app.rule("GET", "/resolve/", status(429, {"Retry-After": "3600"}))
    assert "the Hub asks for fewer requests: " in refused(RemoteError).message


def test_a_download_that_breaks_off_goes_on_where_it_was(running, artifact):
    commit(running, artifact)
    cut = []

    def half(code, headers, body):
        cut.append(len(body) // 2)
        return code, headers | {"content-length": str(len(body) // 2)}, body[: len(body) // 2]

    running.app.rule("GET", "hub.json", half, times=1)
    assert pull(NAME).ours
    ranges = [h["range"] for _, path, h in running.app.asked if "hub.json" in path and "range" in h]
    assert ranges == [f"bytes={cut[0]}-"]


def test_a_server_without_ranges_is_read_from_the_start(running, artifact):
    commit(running, artifact)
    real = (artifact / "hub.json").read_bytes()

    def half(code, headers, body):
        return code, headers | {"content-length": str(len(body) // 2)}, body[: len(body) // 2]

    def whole(code, headers, body):
        return 200, {"content-type": "text/plain"}, real

    running.app.rule("GET", "hub.json", half, times=1)
    running.app.rule("GET", "hub.json", whole, times=1)
    assert pull(NAME).ours


def test_a_disk_without_room_is_told_before_anything_is_fetched(running, artifact, monkeypatch):
    commit(running, artifact)
    usage = shutil.disk_usage(artifact)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    error = refused(RemoteError)
    assert "bytes are needed in " in error.message
    assert error.message.endswith(", 10 are free")
    assert error.hint == (
        "free some disk space, or choose another cache folder with HUB_CORE_CACHE"
    )


def test_a_disk_that_fills_up_leaves_nothing(running, artifact, monkeypatch):
    commit(running, artifact)

    def full(self, piece, out):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download._Arriving, "_take", full)
    error = refused(RemoteError)
    assert error.message.endswith("No space left on device")
    assert list((notes.cache_folder() / "artifacts").rglob(".part-*")) == []


PULL = """
import sys
from huggingface_hub import constants
constants.ENDPOINT = sys.argv[1]
from hub_core.remote import download
real = download._Arriving._take
def slow(self, piece, out):
    real(self, piece, out)
    print("arrived", flush=True)
    import time; time.sleep(60)
download._Arriving._take = slow
from hub_core.remote.pull import pull
pull("team/mood")
"""


def test_a_pull_that_is_killed_leaves_no_artifact_and_the_next_one_cleans_up(running, artifact):
    commit(running, artifact)
    process = subprocess.Popen([sys.executable, "-c", PULL, running.url], text=True,
                               stdout=subprocess.PIPE, env=os.environ | {"HF_HUB_OFFLINE": "0"}
                               )  # fmt: skip
    assert process.stdout.readline() == "arrived\n"
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    process.stdout.close()
    left = list((notes.cache_folder() / "artifacts").rglob(".part-*.lock"))
    assert len(left) == 1
    os.utime(left[0], (0, 0))
    pulled = pull(NAME)
    assert [path.name for path in pulled.folder.parent.iterdir()] == [pulled.folder.name]


# -- a Hub, or a repository, that lies


def test_bytes_of_the_right_length_and_the_wrong_content(running, artifact):
    commit(running, artifact)
    running.app.rule("GET", "/resolve/", changed(lambda body: bytes(len(body))), after=1)
    error = refused(IntegrityError)
    assert "the bytes that came have the hash " in error.message
    assert error.hint == "try again; if it stays so, do not use this Hub"


def test_hub_json_with_the_wrong_content(running, artifact):
    commit(running, artifact)
    running.app.rule("GET", "hub.json", changed(lambda body: body.replace(b"delta", b"whole")))
    assert "hub.json: the bytes that came have the hash " in refused(IntegrityError).message


def test_more_bytes_than_were_announced(running, artifact):
    commit(running, artifact)
    running.app.rule("GET", "/resolve/", changed(lambda body: body + b"more"))
    assert "is longer than the " in refused(IntegrityError).message


@pytest.mark.parametrize("name", ["etag", "x-linked-etag"])
@pytest.mark.parametrize("value", ['"/tmp/x"', '"../../x"', '"abc"', '"' + "A" * 64 + '"'])
def test_an_etag_that_is_no_hash(running, artifact, name, value):
    commit(running, artifact)
    running.app.rule("GET", "/resolve/", header(name, value))
    error = refused(RemoteError)
    assert error.message == f"{running.url} gives {name} {value[:60]!r}, which is no hash"
    assert error.hint == "do not use this Hub before its owner has explained that"


@pytest.mark.parametrize("sha", ["../../../x", "", None, "a" * 39, "g" * 40, 5])
def test_a_commit_that_is_no_hash(running, artifact, sha):
    commit(running, artifact)

    def lie(body):
        return json.dumps(json.loads(body) | {"sha": sha}).encode()

    running.app.rule("GET", "/api/models/team/mood", changed(lie))
    assert f"gives commit {str(sha)[:60]!r}, which is no hash" in refused(RemoteError).message


def test_a_commit_header_that_is_no_hash(running, artifact):
    commit(running, artifact)
    running.app.rule("GET", "/resolve/", header("x-repo-commit", "../x"))
    assert "gives x-repo-commit '../x', which is no hash" in refused(RemoteError).message


def tree(change):
    return changed(lambda body: json.dumps(change(json.loads(body))).encode())


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "C:/x", "a\\..\\x", "a\x1b[2Jb", "a//b", "."]
)
def test_a_name_that_leads_out_of_its_folder(running, artifact, path):
    commit(running, artifact)
    file = {"type": "file", "path": path, "size": 1, "oid": "0" * 40}
    running.app.rule("GET", "/tree/", tree(lambda files: [*files, file]))
    error = refused(RemoteError)
    assert "lists a file named " in error.message
    assert "\x1b" not in error.message
    assert error.hint == "do not use this repository"


def test_more_files_than_an_artifact_has(running, artifact):
    commit(running, artifact)
    many = [{"type": "file", "path": f"f{n}", "size": 1, "oid": "0" * 40} for n in range(100_000)]
    running.app.rule("GET", "/tree/", tree(lambda files: files + many))
    assert "has more than 2,000 files, which no artifact has" in refused(RemoteError).message


def test_a_claim_of_ten_gigabytes_is_refused_before_the_download(running, artifact):
    values = json.loads((artifact / "hub.json").read_text("utf-8"))
    values["files"]["probe.safetensors"]["size"] = 10**10
    edited(artifact, files=values["files"])
    commit(running, artifact)

    def claim(files):
        for file in files:
            if file["path"] == "probe.safetensors":
                file["size"] = file["lfs"]["size"] = 10**10
        return files

    running.app.rule("GET", "/tree/", tree(claim))
    error = refused(RemoteError)
    assert "bytes to fetch, more than the 5,000,000,000 that are allowed" in error.message
    assert error.hint.startswith("if it may be that large: --max-download ")


def test_a_size_limit_is_kept(running, artifact):
    commit(running, artifact)
    assert "more than the 100 that are allowed" in (
        refused(RemoteError, wishes=Wishes(limit=100)).message
    )


@pytest.mark.parametrize("name", ["weights.bin", "model.pkl", "run.py", "x.zip", "evil.sh"])
def test_files_that_could_run_code_are_refused(running, artifact, name):
    content = b"anything"
    (artifact / name).write_bytes(content)
    values = json.loads((artifact / "hub.json").read_text("utf-8"))
    import hashlib

    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    edited(artifact, files=values["files"] | {name: entry})
    commit(running, artifact)
    assert name in refused(FormatError).message


def test_a_pickle_named_safetensors_is_refused(running, artifact):
    import hashlib
    import pickle

    content = pickle.dumps({"a": 1})
    (artifact / "probe.safetensors").write_bytes(content)
    values = json.loads((artifact / "hub.json").read_text("utf-8"))
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    edited(artifact, files=values["files"] | {"probe.safetensors": entry})
    commit(running, artifact)
    assert "probe.safetensors" in refused(FormatError).message


def test_a_name_in_hub_json_that_leads_out_of_the_folder(running, artifact):
    values = json.loads((artifact / "hub.json").read_text("utf-8"))
    edited(artifact, files=values["files"] | {"../x.json": {"sha256": "0" * 64, "size": 1}})
    commit(running, artifact)
    assert "file name '../x.json' is not allowed" in refused(FormatError).message


def test_an_artifact_whose_files_were_exchanged(running, artifact):
    (artifact / "head.main.safetensors").write_bytes((artifact / "probe.safetensors").read_bytes())
    commit(running, artifact)
    assert "is not what was published" in refused(IntegrityError).message


# -- hub.json


def test_a_newer_format_asks_for_an_update(running, artifact):
    edited(artifact, format=2)
    commit(running, artifact)
    error = refused(FormatError)
    assert error.message.partition(": ")[2] == (
        "hub.json has format 2, this hub-core reads up to 1"
    )
    assert error.hint == "update hub-core"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "hub.json is no JSON"),
        (b"\xff\xfe", "hub.json is no JSON"),
        (b"[" * 100_000, "hub.json is no JSON"),
        (b"[]", "hub.json is not a manifest"),
        (b'{"format": 1}', "hub.json is not a manifest"),
        (b'{"format": 1' + b"0" * 5000 + b"}", "hub.json"),
    ],
)
def test_a_hub_json_that_is_none(running, artifact, content, words):
    commit(running, artifact, **{"hub.json": content})
    assert words in refused(FormatError).message


def test_a_huge_number_in_hub_json(running, artifact):
    path = artifact / "hub.json"
    text = path.read_text("utf-8").replace('"seconds": ', '"seconds": 1e999, "was": ', 1)
    path.write_text(text, encoding="utf-8")
    commit(running, artifact)
    assert "hub.json" in refused(FormatError).message


def test_a_plugin_that_is_missing_is_named_and_nothing_is_installed(running, artifact):
    path = artifact / "hub.json"
    text = path.read_text("utf-8").replace("hub-classification", "hub-strange")
    path.write_text(text, encoding="utf-8")
    commit(running, artifact)
    assert pull(NAME).ours  # its files can be fetched and looked at
    with pytest.raises((UnknownMethodError, hub_core.errors.PluginError)) as found:
        hub_core.load(NAME)
    assert "hub-strange" in found.value.message


# -- tokens


def test_a_token_is_not_sent_where_a_link_leads(running, artifact, monkeypatch):
    token = running.token("team")
    commit(running, artifact, token=token)
    monkeypatch.setenv("HF_TOKEN", token)
    running.app.rule("GET", "/tree/", header("link", '<http://localhost:9/steal>; rel="next"'))
    error = refused(RemoteError)
    assert error.message == (
        f"{running.url} asks to send its token to http://localhost:9; nothing was sent"
    )


def test_a_token_is_not_sent_where_a_redirect_leads(running, artifact, monkeypatch):
    token = running.token("team")
    commit(running, artifact, token=token)
    monkeypatch.setenv("HF_TOKEN", token)
    from hubs import Running

    other = Running(artifact.parent / "other")
    try:
        away = lambda *_: (302, {"location": f"{other.url}/stolen"}, b"")  # noqa: E731
        running.app.rule("GET", "/resolve/", away)
        refused(RemoteError)
        assert other.app.asked
        assert all("authorization" not in headers for _, _, headers in other.app.asked)
    finally:
        other.stop()


# -- hub.lock


def lock_of(pulled, folder):
    path = folder / "hub.lock"
    name, _, head = pulled.address.partition("@")
    known = lockfile.Locked(endpoint="http://x", commit=head, files=hashes(pulled.folder))
    lockfile.write(path, lockfile.Lock(artifacts={name: known}))
    return path


def test_a_locked_name_keeps_its_commit(running, artifact, tmp_path):
    first = commit(running, artifact)
    path = lock_of(pull(NAME), tmp_path)
    commit(running, **{"note.txt": b"newer"})
    assert pull(NAME, Wishes(lock=path)).address == f"{NAME}@{first}"


def test_a_locked_name_refuses_another_revision(running, artifact, tmp_path):
    commit(running, artifact)
    path = lock_of(pull(NAME), tmp_path)
    with pytest.raises(RemoteError) as found:
        pull(f"{NAME}@main", Wishes(lock=path))
    assert found.value.hint == (
        f"leave the revision out, or lock the new one: hub lock {NAME}@main"
    )


def test_a_locked_name_refuses_other_bytes(running, artifact, tmp_path):
    commit(running, artifact)
    pulled = pull(NAME)
    path = lock_of(pulled, tmp_path)
    (pulled.folder / "probe.json").write_text("{}", encoding="utf-8")
    with pytest.raises(IntegrityError) as found:
        pull(NAME, Wishes(lock=path))
    assert "is not what " in found.value.message
    assert "\n  - probe.json: sha256 " in found.value.message


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1, "artifacts": {"a/b": {}}}'])
def test_a_lock_file_that_is_none(running, tmp_path, content):
    path = tmp_path / "hub.lock"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(FormatError, match="is no lock file"):
        pull(NAME, Wishes(lock=path))


# -- looking


def test_looking_fetches_no_weights(running, artifact):
    head = commit(running, artifact)
    seen = look(NAME)
    assert seen.address == f"{NAME}@{head}"
    assert seen.content.tasks
    fetched = [path for _, path, _ in running.app.asked if "/resolve/" in path]
    assert fetched == [f"/{NAME}/resolve/{head}/hub.json"]
    assert cached() == []
