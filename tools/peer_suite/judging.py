"""How the suite ended, against what was meant to: the summary, and whether the run is good."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from scope import Scope


@dataclass
class Verdict:
    """The suite's tests, sorted by what their end means."""

    passed: list[str] = field(default_factory=list)
    """Reached the server and passed."""

    alone: list[str] = field(default_factory=list)
    """Passed without calling the server, which they therefore do not prove."""

    out_of_scope: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Failed, or were skipped, without being listed."""

    passes: list[str] = field(default_factory=list)
    """Passed though listed."""

    absent: list[str] = field(default_factory=list)
    """Listed, but not in the suite."""

    @property
    def good(self) -> bool:
        """Whether all was as listed, and the server was reached at all."""
        return bool(self.passed) and not (self.failures or self.passes or self.absent)


def judge(ended: dict[str, dict[str, Any]], scope: Scope) -> Verdict:
    """Sort the ends of tests.

    Args:
        ended: For each test its ``outcome``, ``why``, and whether it ``reached`` the server.
        scope: What is not meant to pass.
    """
    verdict = Verdict(absent=sorted(scope.tests.keys() - ended.keys()))
    for test, end in ended.items():
        good, listed = end["outcome"] == "passed", test in scope.tests
        if good and listed:
            verdict.passes.append(test)
        elif good:
            (verdict.passed if end["reached"] else verdict.alone).append(test)
        else:
            (verdict.out_of_scope if listed else verdict.failures).append(test)
    return verdict


def summary(verdict: Verdict, ended: dict[str, dict[str, Any]], scope: Scope, head: str) -> str:
    """Return the verdict for people."""
    reasons = Counter(scope.tests[test] for test in verdict.out_of_scope)
    lines = [head]
    lines += [f"{len(verdict.passed):6}  passed against the server"]
    lines += [f"{len(verdict.alone):6}  passed without calling it"]
    lines += [f"{len(verdict.out_of_scope):6}  out of scope"]
    lines += [f"        {count:6}  {reason}" for reason, count in reasons.most_common()]
    lines += [f"{len(verdict.failures):6}  unexpected failures"]
    lines += [f"        {test}: {ended[test]['why']}" for test in verdict.failures]
    lines += [f"{len(verdict.passes):6}  unexpected passes"]
    lines += [f"        {test}" for test in verdict.passes]
    if verdict.absent:
        lines += [f"{len(verdict.absent):6}  listed, but not in the suite"]
        lines += [f"        {test}" for test in verdict.absent]
    return "\n".join([*lines, "good" if verdict.good else "NOT good"])
