"""What the numbers do not say: only what ``hub.json`` supports."""

from __future__ import annotations

from collections.abc import Iterator

import hub_core.card.facts as read
from hub_core.card.escape import among, code, plain
from hub_core.card.facts import Facts
from hub_core.card.published import Published

FEW = 200
"""Held-out examples from which on numbers are not called coarse."""


def limits(facts: Facts, published: Published) -> Iterator[str]:
    """Yield the section, a list."""
    yield "## Limits"
    sentences = [*_measured(facts), *_known(facts, published), *_parts(facts)]
    yield "\n".join(f"- {sentence}" for sentence in sentences)


def _measured(facts: Facts) -> Iterator[str]:
    found = read.results(facts)
    if found:
        yield (
            "The numbers were measured on examples that the recipe held out. On texts of another "
            "kind, source or time the model may do worse."
        )
    best = [n for n, e in enumerate(facts.content.history, start=1) if e.get("best") is True]
    if best and len(facts.content.history) > 1:
        yield (
            f"Epoch {best[0]} of {len(facts.content.history)} was chosen by the validation "
            "examples, so the numbers on them are a little too good."
        )
    if found and not any(split == "test" for _, split, *_ in found):
        yield "There is no test split that had no part in training."
    small = [(task, split, n) for task, split, _, n in found if n < FEW]
    for task, split, count in small:
        yield f"Only {count:,} examples of {code(task)} are in {code(split)}: few for fine numbers."
    yield f"It is one run, with the seed {facts.recipe.training.seed}; another gives other numbers."
    yield (
        "Nothing here says how far its probabilities can be believed, how robust it is, or whether "
        "it treats groups of people alike."
    )


def _known(facts: Facts, published: Published) -> Iterator[str]:
    for task, entry in facts.content.tasks.items():
        if entry.labels:
            yield (
                f"{code(task)} knows {len(entry.labels):,} labels and answers with nothing else, "
                "whatever the text."
            )
    if published.languages:
        yield f"Made for {among([plain(x) for x in published.languages])}, as its author says."
    else:
        yield "Its languages were not stated."


def _parts(facts: Facts) -> Iterator[str]:
    if compressors := facts.names("compressor"):
        yield f"All numbers were measured after {among(compressors)}, on the model as it is served."
    proof = facts.content.proof
    if proof is not None:
        yield (
            "On other machines arithmetic differs a little: outputs within "
            f"{proof.elsewhere:.1g} of their scale count as the same."
        )
