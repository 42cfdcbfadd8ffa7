"""``python -m hub_core.testing METHOD...`` prints what the suites measure of methods, as JSON.

``--file tests/test_conformance.py`` measures the classes of a test file instead, with their cases.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hub_core.errors import HubError
from hub_core.testing.measuring import facts, suites_in


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return 1 if something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m hub_core.testing", description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="plugin:name or name")
    parser.add_argument("--file", type=Path, action="append", default=[], help="a test file")
    parser.add_argument("--json", action="store_true", help="this is how it prints anyway")
    given = parser.parse_args(arguments)
    try:
        found = [facts(method) for method in given.methods]
        found += [facts(suite) for path in given.file for suite in suites_in(path)]
    except HubError as error:
        print(f"{error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return 1
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return int(any(one["failures"] for one in found))


if __name__ == "__main__":
    sys.exit(main())
