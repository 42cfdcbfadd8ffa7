"""``hub inspect``: what ``hub.json`` says of an artifact; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub_core.cli.options import json_flag
from hub_core.cli.output import echo_json, figures, share, size, table

if TYPE_CHECKING:
    from hub_core.manifest import Manifest, MethodEntry, TaskEntry


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_flag
def inspect(folder: Path, as_json: bool) -> None:
    """Show what an artifact is, without loading it."""
    from hub_core.manifest import read

    manifest = read(folder)
    here = _here(manifest.methods)
    if as_json:
        values = manifest.model_dump(mode="json")
        for method, state in zip(values["methods"], here, strict=True):
            method["here"] = state
            method.pop("state")
        echo_json(values)
    else:
        click.echo("\n\n".join(_sections(manifest, here)))


def _here(methods: Iterable[MethodEntry]) -> list[str]:
    """Return for each method whether its plugin is installed: a version, or why it is not."""
    from hub_core.catalog import installed

    plugins = {plugin.name: plugin for plugin in installed().plugins()}
    found = []
    for method in methods:
        plugin = plugins.get(method.plugin)
        if plugin is None:
            found.append("not installed")
        else:
            found.append(plugin.version if plugin.status == "ok" else plugin.status)
    return found


def _sections(manifest: Manifest, here: Sequence[str]) -> list[str]:
    methods = [
        (m.kind, m.name, f"{m.plugin} {m.version}", state)
        for m, state in zip(manifest.methods, here, strict=True)
    ]
    splits = [row for name, task in manifest.tasks.items() for row in _splits(name, task)]
    files = [(name, size(file.size), file.sha256[:16]) for name, file in manifest.files.items()]
    return [
        table(_facts(manifest)),
        table(methods, ("kind", "method", "trained with", "here")),
        table(splits, ("task", "split", "n", "metrics")),
        table(files, ("file", "size", "sha256")),
    ]


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    backbone, parameters = manifest.backbone, manifest.parameters
    rows = [("form", _FORMS[manifest.form]), ("backbone", backbone.name or "unnamed")]
    rows += [("on the Hub", backbone.hint)] if backbone.hint else []
    rows.append(("fingerprint", backbone.fingerprint))
    rows += [
        (f"labels of {name}", ", ".join(task.labels))
        for name, task in manifest.tasks.items()
        if task.labels
    ]
    if {"trained", "total"} <= set(parameters):
        rows.append(("trained", f"{share(parameters['trained'], parameters['total'])} parameters"))
    rows += [(name, f"{value:.4g}") for name, value in manifest.report.items()]
    rows.append(("time", f"{manifest.seconds:.1f} s"))
    rows.append(("proof", _proof(manifest)))
    versions = [f"{name} {version}" for name, version in manifest.environment.items()]
    return [*rows, ("environment", ", ".join(versions))]


_FORMS = {
    "delta": "delta: what was trained; the backbone is fetched",
    "whole": "whole: all of the model; no backbone is needed",
}


def _proof(manifest: Manifest) -> str:
    proof = manifest.proof
    if proof is None:
        return "none: nobody compared it with what was trained"
    return f"a fresh process differed by {proof.difference:.1e} on {proof.rows} examples"


def _splits(name: str, task: TaskEntry) -> Iterable[tuple[Any, ...]]:
    for split, count in task.examples.items():
        yield name, split, f"{count:,}", figures(task.metrics.get(split, {}))
