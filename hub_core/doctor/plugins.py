"""Import every plugin in a process of its own and see what comes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hub_core.catalog import Plugin, installed
from hub_core.doctor.findings import Finding, State
from hub_core.wording import counted, shown

PATIENCE = 30.0
"""Seconds that the import of a plugin may take."""
PROBE = "from hub_core.doctor.probe import main; main()"


def of_plugins(patience: float) -> Iterator[Finding]:
    """Yield what is found about each plugin, by name."""
    for plugin in installed().plugins():
        if plugin.status == "ok":
            yield _probed(plugin, patience)
        else:
            state: State = "note" if plugin.status == "disabled" else "wrong"
            yield Finding(plugin.name, state, f"{plugin.status}: {plugin.reason}", _named(plugin))


def _named(plugin: Plugin) -> dict[str, Any]:
    return {"distribution": plugin.distribution, "version": plugin.version}


def _probed(plugin: Plugin, patience: float) -> Finding:
    with tempfile.TemporaryDirectory(prefix="hub-doctor-") as place:
        answer = Path(place) / "answer.json"
        command = [sys.executable, "-c", PROBE, str(answer), plugin.name, plugin.module,
                   plugin.distribution]  # fmt: skip
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=patience, check=False,
                env=os.environ | {"PYTHONUTF8": "1"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            reason = f"its import did not end within {patience:g} s"
            return Finding(plugin.name, "wrong", reason, _named(plugin))
        if not answer.is_file():
            reason = f"its import ended the process with {done.returncode}"
            return Finding(plugin.name, "wrong", reason, _named(plugin))
        return _judged(plugin, json.loads(answer.read_text("utf-8")))


def _judged(plugin: Plugin, found: Mapping[str, Any]) -> Finding:
    details = {**_named(plugin), **found}
    notes = []
    if found["heavy"]:
        notes.append(
            f"its import brings {' and '.join(found['heavy'])}, which costs every command: it took "
            f"{found['seconds']:.1f} s; import them in the modules of factories"
        )
    if found["printed"]:
        notes.append(f"it prints when it is imported: {shown(found['printed'])}")
    if found["problems"]:
        return Finding(plugin.name, "wrong", "; ".join([*found["problems"], *notes]), details)
    if notes:
        return Finding(plugin.name, "note", "; ".join(notes), details)
    provides = counted(found["methods"], "method") if plugin.module else "no methods"
    commands = counted(found["commands"], "command") if found["commands"] else ""
    text = " and ".join(filter(None, [provides if plugin.module else "", commands]))
    return Finding(
        plugin.name, "ok", f"{text or 'no methods'}, {1000 * found['seconds']:.0f} ms", details
    )
