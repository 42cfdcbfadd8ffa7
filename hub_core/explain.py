"""What a head attends to, word by word.

A word's weight is the sum over its positions. What special tokens get belongs to no word, so the
weights of a text's words and ``rest`` are 1 together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hub_core.build import Resolved
from hub_core.catalog import installed
from hub_core.errors import HubError, IncompatibleError
from hub_core.evaluate import Predictor, run
from hub_core.model import Batch, Example, Words
from hub_core.rows import rows_of

TAG = "shows-attention"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as the backbone cuts words, and what it gets.

    Args:
        text: The word as it stands in the text.
        segment: Number of the text that it stands in, 0 or 1.
        start: Its first character.
        end: The character after its last.
        hops: Its weight in each hop, in [0, 1].
    """

    text: str
    segment: int
    start: int
    end: int
    hops: tuple[float, ...]

    @property
    def weight(self) -> float:
        """The mean over the hops."""
        return sum(self.hops) / len(self.hops)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is attended to in an input.

    Args:
        texts: The text, or the two texts of a pair.
        words: Their words that were read, in order.
        rest: What special tokens get in each hop.
        truncated: Whether the input was cut: words are missing then.
    """

    texts: tuple[str, ...]
    words: tuple[Word, ...]
    rest: tuple[float, ...]
    truncated: bool

    @property
    def elsewhere(self) -> float:
        """What special tokens get, the mean over the hops."""
        return sum(self.rest) / len(self.rest)


def explain(
    predictor: Predictor, examples: Sequence[Example], *, task: str = ""
) -> list[Explanation]:
    """Return what a task's head attends to in examples, in order.

    Args:
        predictor: The finished model.
        examples: What ``Predictor.given`` returns.
        task: The task; may be left out if there is one.

    Raises:
        IncompatibleError: The head has no attention to show, or no word can be told from another.
    """
    name = predictor.task(task).name
    model, head = predictor.model, predictor.model.head(name)
    rows = rows_of(head, examples, model.backbone)
    texts = [_texts(predictor, name, example) for example in examples]
    words = [_words(predictor, each) for each in texts]
    if [row.length for row in rows] != [len(found) for found in words]:
        raise IncompatibleError(
            f"task {name}: its head reads more than the words of its texts, so they cannot be "
            "shown with their weights"
        )

    def keep(batch: Batch) -> list[Tensor]:
        encoded = model.encode(batch)
        weights = head.attention(encoded, batch)  # (B, hops, T)
        if weights is None:
            raise _nothing_to_show(predictor, name)
        pairs = zip(weights.float().cpu(), encoded.mask.bool().cpu(), strict=True)
        return [weight[:, real] for weight, real in pairs]

    found = run(model, name, rows, precision=predictor.precision, keep=keep)
    return [
        _explanation(each, own, weights, row.truncated)
        for each, own, weights, row in zip(texts, words, found, rows, strict=True)
    ]


def _texts(predictor: Predictor, task: str, example: Example) -> tuple[str, ...]:
    head = predictor.model.head(task)
    columns = [c for c in head.reads(head.options) if c.kind == "text" and not c.target]
    return tuple(example[column.role] for column in columns if column.role in example)


def _words(predictor: Predictor, texts: tuple[str, ...]) -> Words:
    first, *second = texts
    return predictor.model.backbone.words([first], second or None)[0]


def _explanation(
    texts: tuple[str, ...], words: Words, weights: Tensor, truncated: bool
) -> Explanation:
    """Sum the weights (hops, T) of each word's positions."""
    sums: dict[Any, Tensor] = {}
    for place, weight in zip(words, weights.unbind(1), strict=True):
        sums[place] = sums.get(place, 0) + weight
    rest = sums.pop(None, weights.new_zeros(len(weights)))
    found = tuple(
        Word(texts[segment][start:end], segment, start, end, tuple(weight.tolist()))
        for (segment, start, end), weight in sorted(sums.items(), key=lambda item: item[0])
    )
    return Explanation(texts, found, tuple(rest.tolist()), truncated)


def _nothing_to_show(predictor: Predictor, task: str) -> IncompatibleError:
    recipe = predictor.manifest.recipe if predictor.manifest else {}
    head = recipe.get("tasks", {}).get(task, {}).get("head", "")
    name = head["name"] if isinstance(head, Mapping) else head
    others = sorted(_heads_that_show())
    if name in others:
        hint = "with its default options it has"
    elif others:
        hint = f"train with a head that shows it, such as {', '.join(others)}"
    else:
        hint = "no head that is installed shows it; hub methods --available lists others"
    title = f" {name}" if name else ""
    return IncompatibleError(f"task {task}: its head{title} has no attention to show", hint=hint)


def _heads_that_show() -> list[str]:
    """Return the installed heads that have something to show with their default options."""
    found = []
    for provided in installed().methods("head"):
        with suppress(HubError):  # a head whose options must be given has no defaults
            if TAG in Resolved(provided, provided.options({})).tags("provides"):
                found.append(provided.method.name)
    return found
