"""``hub inspect``: what ``hub.json`` says of an artifact; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub_core.cli.effects import effects_table
from hub_core.cli.fetching import place_argument
from hub_core.cli.options import json_flag
from hub_core.cli.output import difference, echo_json, figures, reported, table
from hub_core.figures import share, size

if TYPE_CHECKING:
    from hub_core.manifest import Manifest, MethodEntry, TaskEntry


@click.command()
@place_argument
@json_flag
def inspect(place: str, as_json: bool) -> None:
    """Show what an artifact is, without loading it.

    Of one on the Hub only small files are fetched: no weight is. A hub.lock in this folder says
    which commit it is.
    """
    about: list[tuple[str, str]] = []
    if Path(place).is_dir():
        manifest, facts = _local(Path(place))
    else:
        manifest, facts, about = _remote(place)
    if as_json:
        values = _values(manifest) if manifest else {"facts": dict(facts)}
        echo_json({**({"repository": dict(about)} if about else {}), **values})
        return
    sections = _sections(manifest, _here(manifest.methods)) if manifest else [table(facts)]
    click.echo("\n\n".join([*([table(about)] if about else []), *sections]))


def _local(folder: Path) -> tuple[Manifest | None, Sequence[tuple[str, str]]]:
    """Return a folder's ``hub.json``, or what the files of another library say."""
    from hub_core.manifest import NAME, read
    from hub_core.readers import CONFIGURATIONS, reader_for

    others = any((folder / name).is_file() for name in CONFIGURATIONS)
    if (folder / NAME).is_file() or not others:
        return read(folder), []

    files = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    return None, reader_for(files)[0].describe(folder)


def _remote(
    place: str,
) -> tuple[Manifest | None, Sequence[tuple[str, str]], list[tuple[str, str]]]:
    """Return the same of a repository, and what the Hub says about it."""
    from hub_core.errors import FormatError
    from hub_core.remote import lockfile
    from hub_core.remote.look import look
    from hub_core.remote.reference import is_reference, parse

    if not is_reference(place):
        raise FormatError(f"there is no folder {place}",
                          hint="name a folder that 'hub train' wrote, or owner/name on the Hub"
                          )  # fmt: skip
    lock = Path(lockfile.NAME)
    seen = look(str(lockfile.read(lock).pin(parse(place), lock)))
    about = [
        ("repository", seen.address),
        ("licence", seen.license or "none stated"),
        ("visible", "to its owner alone" if seen.private else "to everybody"),
        *([("modified", seen.modified)] if seen.modified else []),
        ("to fetch", size(seen.needed)),
    ]
    return seen.content, seen.facts, about


def _values(manifest: Manifest) -> dict[str, Any]:
    """Return ``hub.json`` for programs, with what is installed here."""
    values = manifest.model_dump(mode="json")
    for method, state in zip(values["methods"], _here(manifest.methods), strict=True):
        method["here"] = state
        method.pop("state")
    return values


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
    effects = effects_table(manifest.effects)
    lineage = [row for step in manifest.lineage for row in _step(step)]
    return [
        table(_facts(manifest)),
        table(methods, ("kind", "method", "trained with", "here")),
        table(splits, ("task", "split", "n", "metrics")),
        *([effects] if effects else []),
        table(files, ("file", "size", "sha256")),
        *([table(lineage, ("lineage", "of", "what it was"))] if lineage else []),
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
    rows += reported(manifest.report)
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
    found = difference(proof.difference)
    return f"in a fresh process, the outputs of {proof.rows} examples {found}"


def _splits(name: str, task: TaskEntry) -> Iterable[tuple[Any, ...]]:
    for split, count in task.examples.items():
        yield name, split, f"{count:,}", figures(task.metrics.get(split, {}))


def _step(step: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Return a step of lineage as rows; what others wrote into the file is only shown."""
    before = step.get("from")
    if not isinstance(before, dict):
        yield str(step.get("step")), str(step.get("task", "")), ""
        return
    how = ["new head"] if step.get("new_head") else []
    how += [f"new labels {_words(step['added_labels'])}"] if step.get("added_labels") else []
    parts = [_words(before[key]) for key in ("strategies", "compressors") if before.get(key)]
    name = f"{before.get('name')} {str(before.get('hub.json'))[:16]}"
    yield str(step.get("step")), name, ", ".join([*parts, *how])
    tasks = before.get("tasks")
    for task, entry in tasks.items() if isinstance(tasks, dict) else ():
        yield "", str(task), _told(entry)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"of {key}: {_words(item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _told(entry: Any) -> str:
    """Return a task's head, and its metrics on every split."""
    if not isinstance(entry, dict):
        return str(entry)
    metrics = entry.get("metrics")
    splits = metrics.items() if isinstance(metrics, dict) else ()
    told = [f"{split} {_figures(values)}" for split, values in splits]
    return "  ".join([str(entry.get("head")), *told])


def _figures(values: Any) -> str:
    if not isinstance(values, dict):
        return str(values)
    return figures({str(k): v for k, v in values.items() if isinstance(v, int | float)})
