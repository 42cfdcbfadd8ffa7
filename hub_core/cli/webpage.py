"""The catalog as one HTML file: nothing is fetched, and whatever plugins say is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hub_core.cli import pages
from hub_core.cli.listing import (
    OPTION_HEADER,
    example_of,
    fact_rows,
    option_rows,
    options_for,
    standing,
)
from hub_core.cli.pages import document
from hub_core.declare import TAGS
from hub_core.errors import PluginError

if TYPE_CHECKING:
    from hub_core.available import Available

COMMAND = "hub methods"


def page(methods: Sequence[Available]) -> str:
    """Return the whole page."""
    body = (
        f"{_header(methods)}{''.join(map(_card, methods))}"
        '<p id="none" class="note" hidden>No method fits. Take a word or a filter away.</p>\n'
    )
    return document(COMMAND, "Methods for hub", body, script="webpage.js")


def write(path: Path, text: str) -> None:
    """Write a page; only a page of ours is replaced.

    Raises:
        HubError: Something else is there, or it cannot be written.
    """
    pages.write(path, text, COMMAND)


def _header(methods: Sequence[Available]) -> str:
    here = sum(one.installed for one in methods)
    tags = {tag for one in methods for found in one.tags.values() for tag in found}
    choices = (
        ("kind", "Kind", dict.fromkeys(one.kind for one in methods)),
        ("plugin", "Plugin", sorted({one.plugin for one in methods})),
        ("here", "Here", ("yes", "no")),
        ("tag", "Tag", sorted(tags)),
    )
    words = {"yes": "installed", "no": "not installed"}
    selects = "".join(
        f'<label>{title}<select name="{name}"><option value="">any</option>'
        + "".join(
            f'<option value="{escape(value)}">{escape(words.get(value, value))}</option>'
            for value in values
        )
        + "</select></label>"
        for name, title, values in choices
    )
    return (
        "<header><h1>Methods for hub</h1>"
        f'<p class="note">{len(methods)} methods, {here} of them installed when this page was '
        "written.</p></header>\n"
        '<form id="filters" class="filters" role="search" hidden>'
        '<label class="words">Search<input type="search" name="q" autocomplete="off"></label>'
        f'{selects}</form>\n<p id="count" class="note" role="status" aria-live="polite"></p>\n'
    )


def _card(one: Available) -> str:
    tags = sorted({tag for found in one.tags.values() for tag in found})
    texts = [one.name, one.kind, one.summary, one.plugin, one.paper, *tags]
    data = {
        "text": " ".join(texts).lower(),
        "kind": one.kind,
        "plugin": one.plugin,
        "here": "yes" if one.installed else "no",
        "tags": " ".join(tags),
    }
    attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
    shade = "here" if one.installed else "away"
    return (
        f'<article{attributes}><div class="head"><h2>{escape(one.name)}</h2>'
        f'<span class="badge">{escape(one.kind)}</span>'
        f'<span class="badge {shade}">{escape(standing(one))}</span></div>'
        f"<p>{escape(one.summary)}</p>{_list(_about(one))}{_install(one)}{_details(one)}"
        "</article>\n"
    )


def _about(one: Available) -> Iterator[tuple[str, str]]:
    yield "plugin", escape(f"{one.plugin} {one.version}")
    if one.reason:
        yield "why not", escape(one.reason)
    if one.paper:
        yield "paper", _link(one.paper)
    if one.listed is not None and one.listed.homepage:
        yield "homepage", _link(one.listed.homepage)


def _details(one: Available) -> str:
    parts = []
    for which, tags in one.tags.items():
        if tags:
            parts.append(f'<h3>{which}</h3><ul class="tags">{"".join(map(_tag, tags))}</ul>')
    try:
        options = options_for(one)
    except PluginError as error:
        parts.append(f'<p class="note">{escape(error.message)}</p>')
    else:
        if options:
            parts.append(f"<h3>options</h3>{_table(OPTION_HEADER, option_rows(options))}")
        example = example_of(one, one.name, options)
        parts.append(f'<h3>in a recipe</h3><pre tabindex="0">{escape(example)}</pre>')
    if facts := fact_rows(one.facts):
        parts.append(f"<h3>measured</h3>{_list((n, escape(v)) for n, v in facts)}")
    if one.listed is not None:
        parts.append(f"<h3>plugin</h3>{_list(_origin(one))}")
    return f"<details><summary>Options, tags, example</summary>{''.join(parts)}</details>"


def _origin(one: Available) -> Iterator[tuple[str, str]]:
    if one.listed is None:
        return
    for name, value in (
        ("works with", f"hub-core {one.listed.core}".strip()),
        ("licence", one.listed.licence),
        ("maintainers", ", ".join(one.listed.maintainers)),
        ("comes from", one.source),
        ("listed in", one.provenance),
    ):
        if value:
            yield name, escape(value)


def _install(one: Available) -> str:
    return f'<pre tabindex="0">{escape(one.install)}</pre>' if one.install else ""


def _link(place: str) -> str:
    """Return a link to an https address; other text stays text, so that nothing can run."""
    text = escape(place)
    if not place.startswith("https://"):
        return text
    return f'<a href="{text}" rel="noreferrer">{text}</a>'


def _tag(tag: str) -> str:
    meaning = TAGS.get(tag, "")
    title = f' title="{escape(meaning)}"' if meaning else ""
    return f"<li{title}>{escape(tag)}</li>"


def _list(rows: Iterable[tuple[str, str]]) -> str:
    """Return names with what is said of them, which is HTML already."""
    return f"<dl>{''.join(f'<dt>{escape(n)}</dt><dd>{html}</dd>' for n, html in rows)}</dl>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(
            f'<td data-name="{escape(name)}">{escape(cell)}</td>'
            for name, cell in zip(header[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
