"""Proof and files, lineage and environment: what can be checked, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hub_core.card.escape import among, cell, code, table, word
from hub_core.card.facts import Facts
from hub_core.card.figures import mapping
from hub_core.card.published import Published
from hub_core.figures import size

PROBE = "probe.json"


def proof(facts: Facts, published: Published) -> Iterator[str]:
    """Yield proof and files."""
    content = facts.content
    yield "## Proof and files"
    found = content.proof
    if found is None:
        yield "It was saved without a proof: nobody compared what loads with what was trained."
    else:
        same = (
            f"differed by {found.difference:.1e} of their scale"
            if found.difference
            else "were exactly the same"
        )
        yield (
            f"When it was saved, a fresh process loaded it: the outputs of {found.rows} examples "
            f"{same}."
        )
    yield (
        f"{code(f'hub verify {published.repository}')} checks the sha256 of every file, the "
        "backbone's fingerprint and those outputs again."
    )
    rows = [
        (cell(name), code(file.sha256[:16]), size(file.size))
        for name, file in content.files.items()
    ]
    if rows:
        yield table(("file", "sha256", "size"), rows, numbers=1)
    if PROBE in content.files:
        yield f"{code(PROBE)} holds a few input texts of the data as they are."
    yield f"Fingerprint of the backbone: {code(content.backbone.fingerprint)}."


def lineage(facts: Facts) -> Iterator[str]:
    """Yield the steps that led to the model, if it was not trained from the backbone alone."""
    if facts.content.lineage:
        yield "## Lineage"
        yield "\n".join(f"1. {_step(step)}" for step in facts.content.lineage)


def _step(step: Mapping[str, Any]) -> str:
    """Return a step; what others wrote into the file is only shown."""
    before = mapping(step.get("from"))
    if not before:
        return f"{word(step.get('step', ''))}: {code(step.get('task', ''))}"
    parts = [p for key in ("strategies", "compressors") for p in _listed(before.get(key))]
    by = f", made with {among(parts)}" if parts else ""
    told = f"Trained on from {code(before.get('name', ''))}{by}"
    if known := before.get("hub.json"):
        told += f" (its hub.json: {code(str(known)[:16])})"
    if step.get("new_head"):
        told += "; with new heads"
    for task, labels in mapping(step.get("added_labels")).items():
        told += f"; new labels of {code(task)}: {among(_listed(labels))}"
    return told


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def environment(facts: Facts) -> Iterator[str]:
    """Yield methods with their plugins, and the versions."""
    content = facts.content
    yield "## Environment"
    rows = [
        (m.kind, cell(m.name), cell(m.distribution), cell(m.version, bare=True))
        for m in content.methods
    ]
    yield table(("kind", "method", "plugin", "version"), rows)
    versions = [f"{word(name)} {code(version)}" for name, version in content.environment.items()]
    took = f"Training took {content.seconds:,.0f} s" if content.seconds else "Trained"
    yield f"{took} with {', '.join(versions)}." if versions else f"{took}."
