"""``hub init``: write a commented recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from hub_core.cli.options import flags_from, recipe_flags
from hub_core.errors import RecipeError


@click.command()
@click.argument("path", default="recipe.toml", type=click.Path(path_type=Path))
@recipe_flags
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def init(path: Path, overwrite: bool, **flags: Any) -> None:
    """Write a commented recipe to start from.

    Flags choose what goes into PATH (recipe.toml by default); what they leave open is a comment
    that lists the installed methods.
    """
    from hub_core.catalog import installed
    from hub_core.cli.flags import overlay
    from hub_core.cli.template import render

    catalog = installed()
    values = overlay({}, flags_from(flags), catalog)
    for task in values.get("tasks", {}).values():
        for key in ("data", "validation", "test"):
            if key in task:
                task[key] = _seen_from(path.parent, task[key])
    _write(path, _directive(path.parent) + render(values, catalog), overwrite=overwrite)
    click.echo(f"Wrote {path}. Next: complete it, then hub train {path} --out FOLDER", err=True)


def _directive(folder: Path) -> str:
    """Return the line that tells editors of the schema beside a recipe, if one is there."""
    from hub_core.cli.schema import FILE

    return f"#:schema ./{FILE}\n\n" if (folder / FILE).is_file() else ""


def _seen_from(folder: Path, value: Any) -> Any:
    """Return file names as a recipe in a folder gives them; leave shares alone."""
    if isinstance(value, list):
        return [_seen_from(folder, item) for item in value]
    if not isinstance(value, str) or value.startswith("hub:") or Path(value).is_absolute():
        return value
    return Path(os.path.relpath(value, folder)).as_posix()


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    try:
        with path.open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RecipeError(
            f"{path} exists already", hint="choose another name, or replace it with --overwrite"
        ) from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be written: {error.strerror}") from None
