"""``hub plugins check``: what holds of a plugin and what does not, with nothing installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, table
from hub_core.wording import counted

if TYPE_CHECKING:
    from hub_core.scaffold.findings import Finding, State


@click.command()
@click.argument(
    "folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="PATH"
)
@click.option("--no-tests", is_flag=True, help="Only what takes no training.")
@json_flag
def check(folder: Path, no_tests: bool, as_json: bool) -> int:
    """Check the plugin in a folder: its metadata, its wheel, and its tests.

    Nothing is installed, and nothing is written into the folder. Its code is run.
    """
    from hub_core.scaffold.check import checked
    from hub_core.scaffold.findings import failed

    findings = checked(folder, tests=not no_tests)
    if as_json:
        echo_json([asdict(finding) for finding in findings])
    else:
        click.echo(_shown(findings))
    return 1 if failed(findings) else 0


COUNTED: Mapping[State, str] = {
    "holds": "hold",
    "does not": "do not",
    "known failure": "known to fail",
    "not checked": "not checked",
}
"""How the last line says how many ended so."""


def _shown(findings: Sequence[Finding]) -> str:
    """Return a table, reasons under what they explain, and how many ended how."""
    rows = _together(findings)
    lines = table([(f.group, f.check, f.state) for f in rows], ("what", "check", "state"))
    head, *body = lines.splitlines()
    shown = [head]
    for line, finding in zip(body, rows, strict=True):
        shown += [line, f"    {finding.reason}"] if finding.reason else [line]
    counts = Counter(finding.state for finding in findings)
    said = [f"{counts[s]} {words}" for s, words in COUNTED.items() if counts[s] or s == "holds"]
    return "\n".join([*shown, "", f"{counted(len(findings), 'check')}: {', '.join(said)}"])


def _together(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with one row for a test that holds in all of its cases."""
    found: list[Finding] = []
    for key, same in groupby(findings, lambda f: (f.group, f.check.partition("[")[0])):
        cases = list(same)
        alike = len(cases) > 1 and all(finding.state == "holds" for finding in cases)
        found += [replace(cases[0], check=f"{key[1]}, {len(cases)} cases")] if alike else cases
    return found
