"""The run of the client's own tests is good only if every end is the one that was meant."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[3] / "tools" / "peer_suite"
HEAD = "its own tests"


@pytest.fixture
def tools(monkeypatch):
    """Give the modules of the run, which are no package."""
    monkeypatch.syspath_prepend(str(HERE))
    import judging
    import scope

    yield judging, scope
    for name in ("judging", "scope"):
        del sys.modules[name]


def end(outcome, reached=True):
    return {"outcome": outcome, "why": "because", "reached": reached}


def told(tools, ended, listed):
    judging, scope = tools
    scope = scope.Scope({}, {}, listed)
    verdict = judging.judge(ended, scope)
    return verdict.good, judging.summary(verdict, ended, scope, HEAD)


def test_a_run_as_listed_is_good(tools):
    ended = {"a": end("passed"), "b": end("failed"), "c": end("passed", reached=False)}
    good, text = told(tools, ended, {"b": "likes are not served"})
    assert good
    assert text.splitlines() == [
        "its own tests",
        "     1  passed against the server",
        "     1  passed without calling it",
        "     1  out of scope",
        "             1  likes are not served",
        "     0  unexpected failures",
        "     0  unexpected passes",
        "good",
    ]


@pytest.mark.parametrize(("ended", "listed", "line"), [
    ({"b": end("failed")}, {}, "        b: because"),
    ({"b": end("failed", reached=False)}, {}, "        b: because"),
    ({"b": end("skipped")}, {}, "        b: because"),
    ({"b": end("passed")}, {"b": "reason"}, "     1  unexpected passes"),
    ({}, {"b": "reason"}, "     1  listed, but not in the suite"),
])  # fmt: skip
def test_any_other_end_is_not(tools, ended, listed, line):
    good, text = told(tools, {"a": end("passed")} | ended, listed)
    assert not good
    assert line in text.splitlines()
    assert text.splitlines()[-1] == "NOT good"


def test_a_run_that_never_reached_the_server_is_not_good(tools):
    assert not told(tools, {"a": end("passed", reached=False)}, {})[0]


def test_nothing_is_listed_twice(tools, tmp_path):
    place = tmp_path / "list.toml"
    group = '[[tests]]\nreason = "x"\nids = ["a"]\n'
    place.write_text(f"files = []\nmarks = []\n{group}{group}")
    with pytest.raises(ValueError, match=r"^out_of_scope.toml lists a twice\.$"):
        tools[1].read(place)
    assert all(why for why in tools[1].read().tests.values())
