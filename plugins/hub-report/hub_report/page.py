"""The report as one HTML file: nothing is fetched, and whatever comes from data is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files

from hub_report.drawing import svg
from hub_report.gather import Subject
from hub_report.measures import Estimate, Outcome, misses, mistakes
from hub_report.sections import Chart, Section
from hub_report.theme import COLORS

WORST = 20
"""Mistakes in the page."""
LONGEST = 500
"""Letters of a text in the page."""
WIDE = 5.6
"""Width in inches from which on a figure takes the whole width, and scrolls where it is narrow."""


def page(subject: Subject, learning: Sequence[Chart], sections: Sequence[Section]) -> str:
    """Return the whole page."""
    body = [_header(subject, sections), _learning(learning)]
    body += [_section(section, len(sections) > 1) for section in sections]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Report on {escape(subject.name)}</title>\n<style>\n{_style()}</style>\n"
        f"</head>\n<body>\n<main>\n{''.join(body)}</main>\n</body>\n</html>\n"
    )


def _style() -> str:
    def variables(which: int) -> str:
        return " ".join(f"--{name}: {pair[which]};" for name, pair in COLORS.items())

    rules = files("hub_report").joinpath("page.css").read_text("utf-8")
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(1)} }} }}"
    return f":root {{ {variables(0)} }}\n{dark}\n{rules}"


def _header(subject: Subject, sections: Sequence[Section]) -> str:
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in _facts(subject)
    )
    links = ""
    if len(sections) > 1:
        names = [escape(section.evidence.task) for section in sections]
        anchors = [f"<a href='#task-{name}'>{name}</a>" for name in names]
        links = f"<nav>{' '.join(anchors)}</nav>"
    title = f"<h1>Report on {escape(subject.name)}</h1>"
    return f"<header>{title}<dl class='facts'>{facts}</dl>{links}</header>\n"


def _facts(subject: Subject) -> Iterator[tuple[str, str]]:
    manifest = subject.manifest
    yield "backbone", manifest.backbone.name or "unnamed"
    for kind, title in (("strategy", "strategies"), ("compressor", "compressors")):
        names = [method.name for method in manifest.methods if method.kind == kind]
        if names:
            yield title if len(names) > 1 else kind, ", ".join(names)
    counts = manifest.parameters
    if counts.get("total") and "trained" in counts:
        share = 100 * counts["trained"] / counts["total"]
        yield "trained parameters", f"{counts['trained']:,} ({share:.{_digits(share)}g} %)"
    if subject.history:
        yield "epochs", str(len(subject.history))
    if manifest.seconds:
        yield "training time", f"{manifest.seconds:,.0f} s"


def _digits(percent: float) -> int:
    return 4 if percent > 99 else 2


def _learning(charts: Sequence[Chart]) -> str:
    if charts:
        return f"<section><h2>Learning</h2>{_figures(charts)}</section>\n"
    told = "The artifact keeps no learning history: it was saved by an older hub-core."
    return f"<section><h2>Learning</h2><p class='note'>{told}</p></section>\n"


def _figures(charts: Iterable[Chart]) -> str:
    """Return figures two by two; a large one, or one that is left over, has a row of its own."""
    found, waiting = [], ""
    for chart in charts:
        if chart.figure.get_figwidth() > WIDE:
            found.append(_figure(chart, row=True))
        elif waiting:
            found += [waiting, _figure(chart)]
            waiting = ""
        else:
            waiting, last = _figure(chart), chart
    if waiting:
        found.append(_figure(last, row=True))
    return f"<div class='figures'>{''.join(found)}</div>"


def _figure(chart: Chart, *, row: bool = False) -> str:
    width = chart.figure.get_figwidth()
    wide = width > WIDE
    drawing = svg(chart.figure, chart.stem.replace(".", "-"), f"{chart.title}. {chart.caption}")
    room = f" style='min-width: {width * 72:.0f}px'" if wide else ""
    limit = f" style='max-width: {width * 125:.0f}px'"
    return (
        f"<figure{' class=wide' if row else ''}><h3>{escape(chart.title)}</h3>"
        f"<div class='scroll'><div class='drawing'{room or limit}>{drawing}</div></div>"
        f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
    )


# -- a task


def _section(section: Section, several: bool) -> str:
    evidence = section.evidence
    title = f"Task {evidence.task}" if several else "Predictions"
    parts = [f"<section id='task-{escape(evidence.task)}'><h2>{escape(title)}</h2>"]
    if evidence.rows:
        parts += [_source(section), _tiles(section), _figures(section.charts)]
        parts += [_confused(section), _scores(section), _worst(section)]
    else:
        parts.append("<p class='note'>No examples were held out, so nothing was predicted.</p>")
    return "".join([*parts, "</section>\n"])


def _source(section: Section) -> str:
    evidence = section.evidence
    known = {"test": "the test split", "validation": "the validation split"}
    source = escape(known.get(evidence.source, evidence.source))
    words = f", {len(section.outcomes):,} labels" if _by_word(section) else ""
    return f"<p class='note'>On {source}: {len(evidence.rows):,} examples{words}.</p>"


def _by_word(section: Section) -> bool:
    return len(section.outcomes) > len(section.evidence.rows)


def _tiles(section: Section) -> str:
    figures = dict(section.evidence.metrics)
    if section.calibration is not None:
        figures["ECE"] = section.calibration.error
    tiles = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{value:.4f}</dd></div>"
        for name, value in figures.items()
    )
    return f"<dl class='tiles'>{tiles}</dl>"


def _confused(section: Section) -> str:
    """Return what is confused most, where the matrix is too large to see it at once."""
    if len(section.scores) <= WORST // 2 or not section.confused:
        return ""
    rows = [(truth, guess, f"{count:,}") for truth, guess, count in section.confused]
    return f"<h3>Confused most</h3>{_table(('true', 'predicted', 'count'), rows, numbers={2})}"


def _scores(section: Section) -> str:
    if not section.scores:
        return ""
    header = ("label", "precision", "recall", "F1", "examples", "predicted")
    rows = [
        (s.label, f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", f"{s.support:,}",
         f"{s.predicted:,}")
        for s in section.scores
    ]  # fmt: skip
    return f"<h3>Labels</h3>{_table(header, rows, numbers={1, 2, 3, 4, 5})}"


def _worst(section: Section) -> str:
    if section.estimates:
        return _misses(section.estimates)
    return _mistakes(section.outcomes) if section.outcomes else ""


def _misses(estimates: Sequence[Estimate]) -> str:
    rows = [
        (_cut(e.text), f"{e.truth:.4g}", f"{e.guess:.4g}", f"{e.error:+.4g}")
        for e in misses(estimates, WORST)
    ]
    header = ("text", "true", "predicted", "off by")
    return f"<h3>Furthest off</h3>{_table(header, rows, numbers={1, 2, 3}, stacked=True)}"


def _mistakes(outcomes: Sequence[Outcome]) -> str:
    found = mistakes(outcomes, WORST)
    if not found:
        return "<h3>Worst mistakes</h3><p class='note'>Every prediction is right.</p>"
    if any(o.probability is None for o in found):
        rows = [[_cut(o.text), o.truth, o.guess] for o in found]
        header = ["text", "true", "predicted"]
        return f"<h3>Mistakes</h3>{_table(header, rows, numbers=set(), stacked=True)}"
    rows = [[_cut(o.text), o.truth, o.guess, f"{o.probability:.4f}"] for o in found]
    header = ["text", "true", "predicted", "probability"]
    return (
        "<h3>Worst mistakes</h3><p class='note'>Wrong, and most sure of it.</p>"
        f"{_table(header, rows, numbers={3}, stacked=True)}"
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: set[int],
    stacked: bool = False,
) -> str:
    """Return a table; a stacked one becomes a list of cards where the page is narrow."""
    kinds = [" class='n'" if column in numbers else "" for column in range(len(header))]
    head = "".join(f"<th{k}>{escape(h)}</th>" for k, h in zip(kinds, header, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind} data-name='{escape(name)}'>{escape(cell)}</td>"
            for kind, name, cell in zip(kinds, header, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    kind = " class='stacked'" if stacked else ""
    return (
        f"<div class='scroll'><table{kind}><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
