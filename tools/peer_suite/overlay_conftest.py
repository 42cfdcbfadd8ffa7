"""Stands in for the suite's own conftest, which its source distribution leaves out.

It leads the suite to the server at PEER_ENDPOINT, gives it the fixtures that it asks for, and
writes down for each test how it ended and whether it reached the server.
"""

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, RepoUrl, constants
from huggingface_hub.errors import HfHubHTTPError

from . import testing_constants as known

# the test modules copy this name when they are imported, which is after this file
known.ENDPOINT_STAGING = os.environ["PEER_ENDPOINT"]

from .testing_utils import repo_name  # noqa: E402

RepoFactory = Callable[..., RepoUrl]
MARKERS = (
    "api", "transfer", "inference", "xet", "no_xet", "production", "git_lfs", "vcr", "deprecated",
)  # fmt: skip
PLACES = {
    "HF_HOME": ".",
    "HF_HUB_CACHE": "hub",
    "HUGGINGFACE_HUB_CACHE": "hub",
    "HF_XET_CACHE": "xet",
    "HF_ASSETS_CACHE": "assets",
    "HF_TOKEN_PATH": "token",
    "HF_STORED_TOKENS_PATH": "stored_tokens",
}
ENDED: dict[str, dict[str, Any]] = {}
LEFT_OUT: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Name the suite's marks."""
    for name in MARKERS:
        config.addinivalue_line("markers", f"{name}: a mark of the suite")


def _calls() -> int:
    with urllib.request.urlopen(f"{os.environ['PEER_ENDPOINT']}/-/calls") as answer:
        return int(answer.read())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Look whether a test's calls reach the server."""
    before = _calls()
    ENDED[item.nodeid] = {"outcome": "passed", "why": ""}
    result = yield
    ENDED[item.nodeid]["reached"] = _calls() > before
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the worst of a test's three phases."""
    if report.failed:
        ENDED[report.nodeid] |= {"outcome": "failed", "why": _reason(report)}
    elif report.skipped and ENDED[report.nodeid]["outcome"] == "passed":
        ENDED[report.nodeid] |= {"outcome": "skipped", "why": _reason(report)}


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Count a file that cannot be read as one failed test."""
    if report.failed:
        ENDED[report.nodeid] = {"outcome": "failed", "why": _reason(report), "reached": False}


def _reason(report: Any) -> str:
    return (str(report.longrepr).strip().splitlines() or [""])[-1][:300]


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Keep the tests whose marks leave them out."""
    LEFT_OUT.extend(item.nodeid for item in items)


def pytest_sessionfinish() -> None:
    """Write the results where the driver looks for them."""
    found = {"ended": ENDED, "left_out": LEFT_OUT}
    Path(os.environ["PEER_RESULTS"]).write_text(json.dumps(found), encoding="utf-8")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    for name, place in PLACES.items():
        monkeypatch.setattr(constants, name, str(home / place), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_EXPERIMENTAL_WARNING", True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(autouse=True)
def _plain_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line print for people, whoever runs the suite."""
    from huggingface_hub.cli._output import out
    from huggingface_hub.utils import _detect_agent

    monkeypatch.setattr(_detect_agent, "_registry", _detect_agent._EMPTY_REGISTRY)
    out.set_mode()
    out.set_no_truncate(False)


@pytest.fixture(autouse=True)
def _marks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch Xet on and expect warnings where a test's marks ask for it."""
    if request.node.get_closest_marker("xet"):
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    if request.node.get_closest_marker("deprecated"):
        with pytest.warns(FutureWarning):
            yield
    else:
        yield


@pytest.fixture(scope="session")
def api() -> HfApi:
    """Give the client of the suite's first user."""
    return HfApi(endpoint=known.ENDPOINT_STAGING, token=known.TOKEN)


@pytest.fixture
def repo_factory(api: HfApi) -> Iterator[RepoFactory]:
    """Make repositories that go with the test."""
    made = []

    def make(repo_type: str = "model", repo_id: str | None = None, **more: Any) -> RepoUrl:
        if repo_type == "space":
            more.setdefault("space_sdk", "gradio")
        url = api.create_repo(repo_id or repo_name(prefix=repo_type), repo_type=repo_type, **more)
        made.append((url.repo_id, repo_type, more.get("token")))
        return url

    yield make
    for name, kind, token in made:
        _delete(api, name, kind, token)


@pytest.fixture
def new_repo_id(api: HfApi) -> Iterator[str]:
    """Give a name that is free; what the test makes of it goes with the test."""
    name = f"{known.USER}/{repo_name()}"
    yield name
    _delete(api, name, "model", None)


def _delete(api: HfApi, name: str, kind: str, token: str | None) -> None:
    """Delete what a test may have deleted, moved or hidden itself."""
    try:
        api.delete_repo(name, repo_type=kind, token=token, missing_ok=True)
    except HfHubHTTPError as error:
        print(f"{name} stays: {error}")
