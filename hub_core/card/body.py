"""The card's body: one section after another, each a few blocks of Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import hub_core.card.facts as read
from hub_core.card.escape import among, cell, code, plain, prose, table, word
from hub_core.card.facts import Facts
from hub_core.card.history import epochs
from hub_core.card.honesty import limits
from hub_core.card.origins import environment, lineage, proof
from hub_core.card.published import Published
from hub_core.card.results import results
from hub_core.card.using import block, using
from hub_core.figures import share, size
from hub_core.tomltext import recipe_toml

MARK = "<!-- Written by hub-core from hub.json. Delete this line to keep what you change. -->"
"""By this line a card is known as nobody's own."""


def body(facts: Facts, published: Published) -> str:
    """Return the card's body."""
    blocks = chain(
        ["# " + published.name.replace("_", "\\_")],
        _summary(facts),
        using(facts, published),
        results(facts, published),
        [] if published.plot else epochs(facts.content.history),
        _data(facts),
        _recipe(facts),
        limits(facts, published),
        proof(facts, published),
        lineage(facts),
        environment(facts),
        _license(published),
        [MARK],
    )
    return "\n\n".join(blocks) + "\n"


def _summary(facts: Facts) -> Iterator[str]:
    """Say what it does, on what it stands, and how much of it was trained."""
    content = facts.content
    sentences = [_predicts(facts, task) for task in content.tasks]
    if len(content.tasks) > 1:
        sentences.insert(0, f"This model has {len(content.tasks)} tasks.")
    name = plain(facts.base.name if facts.base else content.backbone.name)
    backbone = f"the backbone {code(name)}" if name else "a backbone without a name"
    if facts.whole:
        sentences.append(f"It was made from {backbone}, and all of it is here.")
    else:
        sentences.append(f"It needs {backbone}, which is fetched beside it.")
    sentences.append(_trained(facts))
    sentences.append(f"What is published takes {size(facts.size())}.")
    yield " ".join(sentences)


def _predicts(facts: Facts, task: str) -> str:
    """Return what a task predicts; its head's plugin has the words for it."""
    found = facts.recipe.tasks.get(task)
    method = read.method_of("head", found.head.name) if found else None
    summary = prose(method.summary) if method else "predictions"
    short = not summary[1:2].isupper()  # an abbreviation keeps its capitals
    what = summary[0].lower() + summary[1:] if short else summary
    labels = facts.content.tasks[task].labels
    out_of = f", out of {among(labels, 'and')}" if labels else ""
    start = "This model predicts" if len(facts.content.tasks) == 1 else f"Task {code(task)}:"
    return f"{start} {what}{out_of}."


def _trained(facts: Facts) -> str:
    parameters = facts.content.parameters
    strategies, compressors = facts.names("strategy"), facts.names("compressor")
    by = f" with {among(strategies)}" if strategies else ""
    by += f", then it was compressed with {among(compressors)}" if compressors else ""
    if not {"trained", "total"} <= set(parameters):
        return f"It was trained{by}."
    return f"{share(parameters['trained'], parameters['total'])} parameters were trained{by}."


def _data(facts: Facts) -> Iterator[str]:
    yield "## Data"
    rows = [
        (
            cell(task),
            cell(split, bare=True),
            cell(read.source_of(facts, task, split).name or "given in memory", bare=True),
            code(entry.data[split][:16]) if split in entry.data else "-",
            f"{count:,}",
        )
        for task, entry in facts.content.tasks.items()
        for split, count in entry.examples.items()
        if count
    ]
    if rows:
        yield table(("task", "split", "from", "fingerprint", "n"), rows, numbers=1)
    for task, entry in facts.content.tasks.items():
        named = [f"{code(column)} as {word(role)}" for role, column in entry.columns.items()]
        if named:
            yield f"Columns of {code(task)}: {', '.join(named)}."


def _recipe(facts: Facts) -> Iterator[str]:
    yield "## Recipe"
    yield "Save it as `recipe.toml`, put your data where it says, then `hub train recipe.toml`."
    yield block("toml", recipe_toml(facts.content.recipe).splitlines())


def _license(published: Published) -> Iterator[str]:
    yield "## Licence"
    if published.license:
        yield f"Its author publishes it under {code(published.license)}."
    else:
        yield "No licence was stated; ask the author before using it."
