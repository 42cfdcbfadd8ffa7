"""What holds of a plugin and what does not: one finding a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["holds", "does not", "known failure", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and how it ended.

    Args:
        group: What was looked at: the distribution, the wheel, or a class of tests.
        check: What should hold, as a sentence without its full stop.
        state: How it ended.
        reason: Why it does not hold, or was not checked; empty where it holds.
    """

    group: str
    check: str
    state: State
    reason: str = ""


def judged(group: str, check: str, reason: str) -> Finding:
    """Return a finding that holds exactly where there is no reason against it."""
    return Finding(group, check, "does not" if reason else "holds", reason)


def failed(findings: Iterable[Finding]) -> bool:
    """Return whether something does not hold."""
    return any(finding.state == "does not" for finding in findings)
