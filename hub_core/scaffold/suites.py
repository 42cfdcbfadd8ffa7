"""Run a plugin's tests in a process of its own and read how each of them ended."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from hub_core.errors import PluginError
from hub_core.scaffold.findings import Finding, State
from hub_core.scaffold.project import Project
from hub_core.scaffold.visible import last_lines

NO_TESTS, WRONG = 5, 2
"""Exit codes of pytest: nothing was collected, and something could not be."""


def run_suites(project: Project, env: Mapping[str, str]) -> list[Finding]:
    """Run the tests under a plugin's ``tests`` and return a finding for each.

    Args:
        project: The plugin.
        env: An environment in which the plugin is found.

    Raises:
        PluginError: pytest is not installed, there is no test, or none could run.
    """
    if importlib.util.find_spec("pytest") is None:
        raise PluginError("the tests of a plugin need pytest, which is not installed here",
                          hint="python -m pip install pytest")  # fmt: skip
    if not (project.folder / "tests").is_dir():
        hint = "'hub plugins new NAME --kind KIND' writes tests to look at"
        raise PluginError(f"{project.folder} has no folder tests", hint=hint)
    with tempfile.TemporaryDirectory(prefix="hub-tests-") as place:
        report = Path(place) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode",
             "importlib", "--tb=short", "--junitxml", str(report), "tests"],
            cwd=project.folder, env=dict(env), capture_output=True, text=True, encoding="utf-8",
            errors="replace", check=False,
        )  # fmt: skip
        found = _read(report) if report.is_file() else []
    if not found:
        what = "there is no test" if done.returncode == NO_TESTS else "its tests could not run"
        raise PluginError(f"{project.name}: {what}:\n{last_lines(done.stdout + done.stderr)}")
    return found


def _read(report: Path) -> list[Finding]:
    tree = ElementTree.fromstring(report.read_bytes())
    return [_finding(case) for case in tree.iter("testcase")]


def _finding(case: ElementTree.Element) -> Finding:
    name = case.get("name", "")
    if not case.get("classname"):  # a file that could not be collected
        return Finding("tests", f"{name} can be imported", *_ended(case))
    group = str(case.get("classname")).rpartition(".")[2]
    check = name.removeprefix("test_").replace("_", " ")
    return Finding(group, check, *_ended(case))


def _ended(case: ElementTree.Element) -> tuple[State, str]:
    for tag in ("failure", "error"):
        if (found := case.find(tag)) is not None:
            return "does not", _said(found)
    if (found := case.find("skipped")) is not None:
        known = found.get("type") == "pytest.xfail"
        return ("known failure" if known else "not checked"), _said(found)
    return "holds", ""


def _said(element: ElementTree.Element) -> str:
    """Return the first line of why, without the name of an assertion."""
    text = (element.get("message") or "").strip()
    if text in ("", "collection failure"):
        said = (element.text or "").strip().splitlines() or ["no reason was given"]
        raised = [line[1:].strip() for line in said if re.match(r"E {3}\S", line)]
        text = (raised or said)[-1]
    return text.splitlines()[0].removeprefix("AssertionError: ").removeprefix("reason: ")
