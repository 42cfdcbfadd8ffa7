"""What of the suite is not meant to pass, with a reason each: ``out_of_scope.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

LIST = Path(__file__).with_name("out_of_scope.toml")


@dataclass(frozen=True)
class Scope:
    """Reasons by what they are for."""

    files: dict[str, str]
    """Files that are not run."""

    marks: dict[str, str]
    """Marks of tests that are not run."""

    tests: dict[str, str]
    """Tests that are run and must fail."""

    def within(self, files: list[str]) -> Scope:
        """Return what is listed of some files."""
        tests = {test: why for test, why in self.tests.items() if test.split("::")[0] in files}
        return replace(self, tests=tests)


def read(path: Path = LIST) -> Scope:
    """Return the list.

    Raises:
        ValueError: Something is listed twice.
    """
    value = tomllib.loads(path.read_text(encoding="utf-8"))
    return Scope(
        _reasons(value["files"], "names"),
        _reasons(value["marks"], "names"),
        _reasons(value["tests"], "ids"),
    )


def _reasons(groups: list[dict[str, object]], key: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for group in groups:
        names = group[key]
        assert isinstance(names, list)
        if twice := found.keys() & set(names):
            raise ValueError(f"out_of_scope.toml lists {min(twice)} twice.")
        found |= dict.fromkeys(names, str(group["reason"]))
    return found
