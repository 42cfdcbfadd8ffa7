"""``hub train``: train what a recipe or flags describe."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hub_core.cli.options import flags_from, json_flag, recipe_flags

if TYPE_CHECKING:
    from hub_core.jobs import Result
    from hub_core.origin import Origin
    from hub_core.recipe import Recipe
    from hub_core.sketch import Sketch


@click.command()
@click.argument("recipe", required=False, metavar="[RECIPE.toml]", type=click.Path())
@recipe_flags
@click.option(
    "--from",
    "start",
    metavar="FOLDER|OWNER/NAME",
    help="Start from a trained artifact, with its recipe; data are given anew.",
)
@click.option("--new-head", is_flag=True, help="With --from: new heads, for another task.")
@click.option("--add-labels", is_flag=True, help="With --from: add labels that it lacks.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the artifact goes; checkpoints and the log go to FOLDER.run.",
)
@click.option("--overwrite", is_flag=True, help="Replace an artifact that is in --out.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done; reads no weights.")
@json_flag
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
def train(
    recipe: str | None,
    start: str | None,
    new_head: bool,
    add_labels: bool,
    out: Path | None,
    overwrite: bool,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Train what a recipe or flags describe.

    Flags change the recipe. One that can be repeated is written again for every value:
    --data a.csv --data b.csv. File names in flags are relative to where you are, those in a recipe
    to the recipe.
    """
    if out is None and not dry_run:
        raise click.UsageError("--out FOLDER is missing; --dry-run does without it")
    from hub_core.cli.messages import log_to_stderr

    log_to_stderr(verbose=verbose, quiet=quiet)
    origin = _origin(start, new_head=new_head, add_labels=add_labels)
    parsed = _recipe(recipe, flags, origin)
    if dry_run or out is None:
        _dry_run(parsed, origin, as_json=as_json)
        return
    try:
        result = _train(parsed, origin, out, overwrite=overwrite, resume=resume, quiet=quiet)
    except KeyboardInterrupt:
        _interrupted(out)
    if as_json:
        from hub_core.cli.output import echo_json

        echo_json(as_data(result, out))
    else:
        _tell_effects(result)
        click.echo(summary(result, out))
        _say_what_next(out, result, quiet=quiet)


def _origin(reference: str | None, *, new_head: bool, add_labels: bool) -> Origin | None:
    """Return the artifact that ``--from`` names."""
    if reference is None:
        if new_head or add_labels:
            name = "--new-head" if new_head else "--add-labels"
            raise click.UsageError(f"{name} says how to start from an artifact: --from FOLDER")
        return None
    from hub_core.cli.fetching import lock_here
    from hub_core.origin import Origin
    from hub_core.remote.pull import Wishes

    wishes = Wishes(lock=lock_here())
    return Origin.open(reference, new_head=new_head, add_labels=add_labels, wishes=wishes)


def _recipe(path: str | None, flags: dict[str, Any], origin: Origin | None) -> Recipe:
    """Return the recipe of an artifact, with that of a file and then flags laid over it."""
    from hub_core.catalog import installed
    from hub_core.cli.flags import overlay
    from hub_core.recipe import parse, read

    base = read(path) if path else {}
    if origin is not None:
        base = origin.laid_over(base, installed(), task=flags["task"])
    return parse(overlay(base, flags_from(flags), installed()), source=path or "flags")


def _train(
    recipe: Recipe,
    origin: Origin | None,
    out: Path,
    *,
    overwrite: bool,
    resume: bool,
    quiet: bool,
) -> Result:
    from hub_core import jobs
    from hub_core.cli.progress import reporter

    with reporter(quiet=quiet) as report:
        return jobs.train(
            recipe, start=origin, out=out, overwrite=overwrite, resume=resume, report=report
        )


def _interrupted(out: Path) -> NoReturn:
    click.echo("\nInterrupted.", err=True)
    work = out.with_name(out.name + ".run")
    if (work / "checkpoint").is_dir():
        arguments = sys.argv[1:]
        arguments += [] if "--resume" in arguments else ["--resume"]
        click.echo(f"Go on with: hub {shlex.join(arguments)}", err=True)
    else:
        click.echo("There is no checkpoint yet: start again.", err=True)
    raise click.exceptions.Exit(130)


# -- results


def as_data(result: Result, out: Path) -> dict[str, Any]:
    """Return what came out of a run, for programs."""
    manifest = result.manifest
    assert manifest is not None
    return {
        "folder": str(out),
        "metrics": result.metrics,
        "examples": {name: task.examples for name, task in manifest.tasks.items()},
        "parameters": manifest.parameters,
        "bytes": sum(file.size for file in manifest.files.values()),
        "seconds": result.seconds,
        "proof": None if manifest.proof is None else manifest.proof.model_dump(),
        "report": manifest.report,
        "effects": [effect.model_dump() for effect in manifest.effects],
        "history": list(result.history),
    }


def _tell_effects(result: Result) -> None:
    from hub_core.cli.effects import effects_table

    assert result.manifest is not None
    if shown := effects_table(result.manifest.effects):
        click.echo(shown + "\n")


def summary(result: Result, out: Path) -> str:
    """Return the short table that ends a run."""
    from hub_core.cli.output import difference, figures, reported, table
    from hub_core.figures import share, size

    manifest = result.manifest
    assert manifest is not None
    rows = []
    for task, splits in result.metrics.items():
        for split in sorted(splits):
            count = manifest.tasks[task].examples[split]
            rows.append((f"{task} {split}", f"{figures(splits[split])}  (n = {count:,})"))
    rows += reported(manifest.report)
    parameters = manifest.parameters
    rows.append(("trained", f"{share(parameters['trained'], parameters['total'])} parameters"))
    total = sum(file.size for file in manifest.files.values())
    rows.append(("artifact", f"{out}, {size(total)} in {len(manifest.files) + 1} files"))
    rows.append(("time", f"{result.seconds:.1f} s"))
    if (proof := manifest.proof) is not None:
        found = difference(proof.difference)
        rows.append(("proof", f"in a fresh process, the outputs of {proof.rows} examples {found}"))
    return table(rows)


def _say_what_next(out: Path, result: Result, *, quiet: bool) -> None:
    if quiet:
        return
    folder = shlex.quote(str(out))
    task = "" if len(result.metrics) == 1 else " --task TASK"
    click.echo(
        f'\nNext:\n  hub predict {folder}{task} "…"\n'
        f"  hub evaluate {folder}{task} --data FILE\n  hub verify {folder}",
        err=True,
    )


# -- dry run


def _dry_run(recipe: Recipe, origin: Origin | None, *, as_json: bool) -> None:
    from hub_core.cli.output import echo_json
    from hub_core.sketch import dry_run

    sketch = dry_run(recipe, start=origin)
    if as_json:
        stages = [
            {"name": name, "epochs": epochs, "parameters": count}
            for name, epochs, count in sketch.stages
        ]
        echo_json(asdict(sketch) | {"stages": stages})
    else:
        click.echo(_sketch(sketch))


def _sketch(sketch: Sketch) -> str:
    """Return what a recipe would do, as a table."""
    from hub_core.cli.output import table
    from hub_core.figures import share

    rows = [] if sketch.start is None else [("from", _started(sketch.start))]
    rows += [(f"part {number}", label) for number, label in enumerate(sketch.parts, start=1)]
    rows += [
        (f"{task} data", ", ".join(f"{count:,} {split}" for split, count in splits.items()))
        for task, splits in sketch.splits.items()
    ]
    rows += [
        (
            f"stage {name}",
            f"{epochs} epoch{'s' if epochs > 1 else ''}, up to {count:,} parameters train",
        )
        for name, epochs, count in sketch.stages
    ]
    rows.append(("trained", f"{share(sketch.trained, sketch.total)} parameters"))
    rows.append(("steps", f"{sketch.steps:,}"))
    rows.append(("files", ", ".join(sketch.files)))
    return table(rows)


def _started(start: Mapping[str, Any]) -> str:
    """Return what a run starts from, in a few words."""
    words = [f"{start['from']} (hub.json {start['hub.json'][:16]}…): {start['way']}"]
    words += ["new heads"] if start.get("new_head") else []
    words += [
        f"new labels of {task}: {', '.join(labels)}"
        for task, labels in start.get("added_labels", {}).items()
    ]
    return "; ".join(words)
