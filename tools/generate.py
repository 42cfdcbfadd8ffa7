"""Write the generated tables of README.md and of the plugins' READMEs, or check them.

A table stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; everything else in the
files is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hub_core.catalog import Provided, installed

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"(<!-- generated: (?P<name>[\w -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def plugins_table() -> Iterator[str]:
    """Yield the table of plugins and what they bring."""
    yield "| plugin | kind | method | what it does |"
    yield "| --- | --- | --- | --- |"
    for provided in sorted(own(), key=lambda p: (p.plugin.name, p.method.name)):
        link = f"[{provided.plugin.name}](plugins/{provided.plugin.name})"
        yield f"| {link} | {provided.kind} | `{provided.method.name}` | {provided.method.summary} |"


def options_table(name: str) -> Iterator[str]:
    """Yield the options of a method."""
    [provided] = [p for p in own() if p.method.name == name]
    fields = provided.options_class().model_json_schema()["properties"]
    if not fields:
        yield "No options."
        return
    yield "| option | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for option, schema in fields.items():
        default = f"`{schema['default']!r}`" if "default" in schema else "must be given"
        default = default.replace("|", "\\|")  # it would end the cell
        yield f"| `{option}` | {kind(schema)} | {default} | {schema.get('description', '')} |"


def kind(schema: dict[str, Any]) -> str:
    """Return an option's type with its bounds."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " ".join([str(schema.get("type", "")), ", ".join(bounds)]).strip()


def own() -> list[Provided]:
    """Return the methods of this repository's plugins."""
    names = {folder.name for folder in (ROOT / "plugins").glob("hub-*")}
    return [p for p in installed().methods() if p.plugin.name in names]


def filled(text: str) -> str:
    """Return a file's text with every table made anew."""

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        lines = plugins_table() if name == "plugins" else options_table(name.split()[-1])
        return f"{match[1]}{''.join(line + chr(10) for line in lines)}{match[3]}"

    return MARK.sub(table, text)


def main() -> None:
    """Write the tables, or with ``--check`` exit with 1 if one is out of date."""
    stale = []
    for path in [ROOT / "README.md", *sorted((ROOT / "plugins").glob("hub-*/README.md"))]:
        text = path.read_text("utf-8")
        if filled(text) != text:
            stale.append(path)
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)}: a generated table is out of date, run 'make docs'")
        sys.exit(bool(stale))
    for path in stale:
        path.write_text(filled(path.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
