"""``hub plugins doctor``: what is wrong, found without importing a plugin into this process."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, table

if TYPE_CHECKING:
    from hub_core.doctor import Finding


@click.command()
@click.option(
    "--timeout", type=click.FloatRange(0.1), default=30.0, show_default=True, metavar="SECONDS",
    help="How long the import of a plugin may take.",
)  # fmt: skip
@json_flag
def doctor(timeout: float, as_json: bool) -> int:
    """Say what is wrong with plugins, and where.

    Every plugin is imported in a process of its own. Exits with 1 if something is wrong.
    """
    from hub_core.doctor import examine

    found = [*examine(timeout)]
    if as_json:
        echo_json([asdict(finding) for finding in found])
    else:
        click.echo(table([(f.what, _version(f), f.state, f.reason) for f in found], HEADER))
    wrong = [finding.what for finding in found if finding.state == "wrong"]
    if wrong:
        click.echo(f"\nSomething is wrong with {', '.join(wrong)}.", err=True)
    return 1 if wrong else 0


HEADER = ("what", "version", "state", "reason")


def _version(finding: Finding) -> str:
    return str(finding.details.get("version", ""))
