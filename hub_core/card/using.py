"""How to use a model: with hub-core, and with plain libraries only where that works."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import hub_core.card.facts as read
from hub_core.card.escape import among, code
from hub_core.card.facts import Facts
from hub_core.card.published import Published
from hub_core.remote.reference import Reference

TOKENIZER = "tokenizer_config.json"
_TEXTS = ("text", "pair")
_POOLED = {
    "mean": [
        'mask = inputs["attention_mask"].unsqueeze(-1)',
        "vectors = (hidden * mask).sum(1) / mask.sum(1)",
    ],
    "first": [
        'first = inputs["attention_mask"].argmax(1)',
        "vectors = hidden[torch.arange(len(hidden)), first]",
    ],
}
"""Pooling to the lines that do it."""


def using(facts: Facts, published: Published) -> Iterator[str]:
    """Yield the blocks of the section."""
    yield "## Use it"
    yield from _with_core(facts, published)
    if facts.adapter and facts.base is not None:
        yield from _with_peft(facts, published)
    elif facts.plain:
        yield from _with_transformers(facts, published)


def block(language: str, lines: Sequence[str]) -> str:
    """Return a code block, whose fence no line of it can close."""
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return "\n".join([f"{fence}{language}", *lines, fence])


# -- hub-core


def _with_core(facts: Facts, published: Published) -> Iterator[str]:
    # only names that a recipe may have: they become part of commands
    tasks = {n: e for n, e in facts.content.tasks.items() if n in facts.recipe.tasks}
    repository = published.repository
    several = len(tasks) > 1
    commands, calls = [], []
    for name, entry in tasks.items():
        roles = read.inputs_of(entry)
        option = f" --task {name}" if several else ""
        argument = f", task={_text(name)}" if several else ""
        if roles == ["text"]:
            commands.append(f'hub predict {repository}{option} "A text"')
            calls.append(f'print(model.predict(["A text"]{argument}))')
            continue
        commands.append(f"hub predict {repository}{option} --file data.csv")
        if set(roles) <= set(_TEXTS):
            example = {"text": "A text", "pair": "another one"}
            calls.append(f"print(model.predict([{_text(example)}]{argument}))")
    files = [
        f"For {code(name)}, the file has the columns {among([entry.columns[r] for r in roles])}."
        for name, entry in tasks.items()
        if (roles := read.inputs_of(entry)) != ["text"] and roles
    ]
    yield "With hub-core and the plugins under [Environment](#environment):"
    yield block("console", commands)
    if calls:
        lines = ["import hub_core", "", f"model = hub_core.load({_text(repository)})", *calls]
        yield block("python", lines)
    yield from files


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=True)


# -- plain libraries


def _with_peft(facts: Facts, published: Published) -> Iterator[str]:
    assert facts.base is not None
    yield "With plain PEFT, which gives the adapted hidden states:"
    yield block(
        "python",
        [
            "import torch",
            "from peft import PeftModel",
            "from transformers import AutoModel, AutoTokenizer",
            "",
            *_pinned(facts.base),
            "tokenizer = AutoTokenizer.from_pretrained(base, revision=revision)",
            "model = AutoModel.from_pretrained(base, revision=revision)",
            f"model = PeftModel.from_pretrained(model, {_text(published.repository)}).eval()",
            *_HIDDEN,
        ],
    )
    yield from _heads(facts, published)
    if compressors := facts.names("compressor"):
        yield (
            f"PEFT applies the adapter alone, not {among(compressors)}: its outputs differ from "
            "those that the results below were measured on."
        )


def _pinned(base: Reference) -> list[str]:
    return [f"base = {_text(base.name)}", f"revision = {_text(base.revision or 'main')}"]


_HIDDEN = [
    "",
    'inputs = tokenizer(["A text"], padding=True, truncation=True, return_tensors="pt")',
    "with torch.no_grad():",
    "    hidden = model(**inputs).last_hidden_state  # (texts, tokens, width)",
]


def _with_transformers(facts: Facts, published: Published) -> Iterator[str]:
    own = TOKENIZER in facts.content.files
    if not own and facts.base is None:
        return
    repository = _text(published.repository)
    words = repository if own else "base, revision=revision"
    yield "With plain transformers, which gives the hidden states:"
    yield block(
        "python",
        [
            "import torch",
            "from transformers import AutoModel, AutoTokenizer",
            "",
            *([] if own or facts.base is None else _pinned(facts.base)),
            f"tokenizer = AutoTokenizer.from_pretrained({words})",
            f"model = AutoModel.from_pretrained({repository}).eval()",
            *_HIDDEN,
        ],
    )
    yield from _heads(facts, published)


def _heads(facts: Facts, published: Published) -> Iterator[str]:
    """Yield how heads are applied, or that only hub-core can do it."""
    for task, entry in facts.content.tasks.items():
        file = f"head.{task}.safetensors"
        if file not in facts.content.files:
            continue
        lines = _linear(facts, task)
        if not lines:
            yield (
                f"The head is in {code(file)}; hub-core applies it. What it does with the hidden "
                "states before its weights, hub.json does not say."
            )
            continue
        yield f"The head in {code(file)} is a linear layer over pooled hidden states:"
        place = f"hf_hub_download({_text(published.repository)}, {_text(file)})"
        yield block(
            "python",
            [
                "from huggingface_hub import hf_hub_download",
                "from safetensors.torch import load_file",
                "",
                f"head = load_file({place})",
                *lines,
            ],
        )
        if entry.labels:
            yield f"A score for each label, in this order: {among(entry.labels)}."


def _linear(facts: Facts, task: str) -> list[str]:
    """Return the lines for a head whose recipe and tensors say that it pools and is linear."""
    start = f"heads.{task}."
    found = {n.removeprefix(start) for n in facts.content.tensors if n.startswith(start)}
    choice = facts.recipe.tasks.get(task)
    pooled = _POOLED.get(_pooling(facts, task, choice.head.options if choice else {}))
    if pooled is None or found - {"pooling"} != {"output.weight", "output.bias"}:
        return []
    weight, bias = _text(f"{start}output.weight"), _text(f"{start}output.bias")
    return [*pooled, f"scores = vectors @ head[{weight}].T + head[{bias}]  # (texts, outputs)"]


def _pooling(facts: Facts, task: str, options: Mapping[str, object]) -> str:
    """Return how the head pools; artifacts that do not record it may have been told."""
    own = facts.content.tasks[task].facts.get("pooling") or options.get("pooling", "auto")
    return str(facts.recipe.backbone.options.get("pooling", "auto") if own == "auto" else own)
