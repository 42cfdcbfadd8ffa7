"""What runs in a plugin's own process: import it, and write down what happened.

The answer goes into a file, because a plugin may write to any stream.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hub_core.catalog import COMMANDS, Catalog, Plugin, Provided, label_of

HEAVY = ("torch", "tensorflow", "jax", "transformers", "peft", "datasets", "numpy", "pandas",
         "scipy", "sklearn")  # fmt: skip


def main() -> None:
    """Probe the plugin that the command line names, and write the answer."""
    answer, name, module, distribution = sys.argv[1:]
    import pluggy as pluggy

    import hub_core.spec as spec  # noqa: F401  what every plugin needs is not its own cost

    found = probe(Plugin(name, module, distribution, ""))
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


def probe(plugin: Plugin) -> dict[str, Any]:
    """Import a plugin and return what it took, what came with it and what is wrong."""
    before = set(sys.modules)
    printed = io.StringIO()
    started = time.perf_counter()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()) as said:
        catalog = Catalog([plugin])
        methods = catalog.methods()
        [after] = catalog.plugins()
        commands = _commands(plugin.distribution)
        seconds = time.perf_counter() - started
        brought = set(sys.modules) - before
        problems = [*_reasons(after), *_broken(commands), *_nowhere(methods)]
    return {
        "seconds": round(seconds, 4),
        "heavy": [name for name in HEAVY if name in brought],
        "printed": " ".join(f"{printed.getvalue()} {said.getvalue()}".split())[:200],
        "methods": len(methods),
        "commands": len(commands),
        "problems": problems,
    }


def _reasons(plugin: Plugin) -> Iterator[str]:
    if plugin.status == "ok":
        return
    top = plugin.module.partition(".")[0]
    if f"No module named '{top}'" in plugin.reason or f"No module named '{top}." in plugin.reason:
        yield f"its entry point leads to nothing: there is no module {plugin.module}"
    else:
        yield f"its import fails: {plugin.reason}"


def _commands(distribution: str) -> list[metadata.EntryPoint]:
    points = metadata.entry_points(group=COMMANDS)
    return [p for p in points if p.dist and label_of(p.dist) == distribution]


def _broken(commands: Iterable[metadata.EntryPoint]) -> Iterator[str]:
    import click

    for point in commands:
        try:
            command = point.load()
        except (Exception, SystemExit) as error:
            yield f"its command '{point.name}' fails: {type(error).__name__}: {error}"
        else:
            if not isinstance(command, click.Command):
                yield f"its command '{point.name}' is a {type(command).__name__}"


def _nowhere(methods: Iterable[Provided]) -> Iterator[str]:
    """Yield which modules of factories and options do not exist; none of them is imported."""
    for provided in methods:
        for target in (provided.method.factory, provided.method.options):
            module = target.partition(":")[0]
            try:
                there = find_spec(module) is not None
            except (Exception, SystemExit):
                there = False
            if not there:
                yield f"{provided.method.name} names {target}, but there is no module {module}"
