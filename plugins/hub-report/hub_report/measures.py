"""What is counted for a report: outcomes, confusion, scores of labels, calibration, mistakes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_core.predictions import Judged

BINS = 15
"""Bins of equal width for calibration (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One label that was predicted, with the true one.

    Args:
        text: What it was predicted for.
        truth: The true label.
        guess: The predicted label.
        probability: How sure the model was of it, in [0, 1], or None if it does not say.
    """

    text: str
    truth: str
    guess: str
    probability: float | None = None

    @property
    def right(self) -> bool:
        """Whether the two are the same."""
        return self.truth == self.guess


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number that was predicted, with the true one."""

    text: str
    truth: float
    guess: float

    @property
    def error(self) -> float:
        """How much too high the prediction is."""
        return self.guess - self.truth


def outcomes_of(rows: Sequence[Judged]) -> list[Outcome]:
    """Return the labels among predictions: one for an example, or one for each of its words."""
    found = []
    for row in rows:
        truth, guess = row.truth.get("label"), row.prediction.get("label")
        if isinstance(truth, str) and isinstance(guess, str):
            found.append(Outcome(text_of(row.input), truth, guess, _probability(row.prediction)))
        found += _words(row)
    return found


def _words(row: Judged) -> list[Outcome]:
    truth, guess = row.truth.get("tags"), row.prediction.get("tags")
    if not (isinstance(truth, list) and isinstance(guess, list)):
        return []
    words = row.input.get("tokens")
    words = words if isinstance(words, list) else [""] * len(truth)
    context = " ".join(map(str, words))
    return [
        Outcome(f"{word} (in: {context})", str(a), str(b))
        for word, a, b in zip(words, truth, guess, strict=False)
    ]


def _probability(prediction: Mapping[str, Any]) -> float | None:
    value = prediction.get("probability")
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def estimates_of(rows: Sequence[Judged]) -> list[Estimate]:
    """Return the numbers among predictions."""
    found = []
    for row in rows:
        truth, guess = number_of(row.truth.get("score")), number_of(row.prediction.get("score"))
        if truth is not None and guess is not None:
            found.append(Estimate(text_of(row.input), truth, guess))
    return found


def number_of(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None


def text_of(given: Mapping[str, Any]) -> str:
    """Return what a head read as one text."""
    return " | ".join(
        " ".join(map(str, value)) if isinstance(value, list) else str(value)
        for value in given.values()
    )


# -- labels


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How well one label is found; all shares in [0, 1].

    Args:
        label: The label.
        precision: Share of its predictions that are right; 0 where it is never predicted.
        recall: Share of its examples that are found; 0 where it has none.
        f1: Their harmonic mean.
        support: Examples that have it.
        predicted: How often it is predicted.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


def labels_in(outcomes: Sequence[Outcome], known: Sequence[str]) -> list[str]:
    """Return the known labels in their order, then any others that occur."""
    seen = {label for outcome in outcomes for label in (outcome.truth, outcome.guess)}
    return [*known, *sorted(seen - set(known))]


def confusion(outcomes: Sequence[Outcome], labels: Sequence[str]) -> list[list[int]]:
    """Return counts: a row for each true label, a column for each predicted one."""
    counts = Counter((outcome.truth, outcome.guess) for outcome in outcomes)
    return [[counts[truth, guess] for guess in labels] for truth in labels]


def label_scores(outcomes: Sequence[Outcome], labels: Sequence[str]) -> list[LabelScore]:
    """Return the scores of every label."""
    support = Counter(outcome.truth for outcome in outcomes)
    predicted = Counter(outcome.guess for outcome in outcomes)
    right = Counter(outcome.truth for outcome in outcomes if outcome.right)
    return [
        LabelScore(
            label,
            _share(right[label], predicted[label]),
            _share(right[label], support[label]),
            _share(2 * right[label], support[label] + predicted[label]),
            support[label],
            predicted[label],
        )
        for label in labels
    ]


def confused(outcomes: Sequence[Outcome], most: int = 10) -> list[tuple[str, str, int]]:
    """Return the most frequent mistakes: true label, predicted label, count."""
    counts = Counter((o.truth, o.guess) for o in outcomes if not o.right)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(truth, guess, count) for (truth, guess), count in ranked[:most]]


def mistakes(outcomes: Sequence[Outcome], most: int) -> list[Outcome]:
    """Return wrong predictions, those that the model was most sure of first."""
    wrong = [outcome for outcome in outcomes if not outcome.right]
    return sorted(wrong, key=lambda outcome: -(outcome.probability or 0.0))[:most]


def misses(estimates: Sequence[Estimate], most: int) -> list[Estimate]:
    """Return the predictions that are furthest from the truth first."""
    return sorted(estimates, key=lambda estimate: -abs(estimate.error))[:most]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


# -- calibration


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions whose probability lies in (low, high].

    Args:
        low: Lower edge.
        high: Upper edge.
        count: How many there are.
        confidence: Their mean probability; 0 in an empty bin.
        accuracy: Share of them that is right; 0 in an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far a model's probabilities can be believed.

    Args:
        bins: Bins of equal width over [0, 1].
        error: The expected calibration error: the mean over examples of how far their bin's
            accuracy is from its confidence, in [0, 1].
        excess: Mean probability minus accuracy; above 0 the model is too sure.
    """

    bins: Sequence[Bin]
    error: float
    excess: float

    @property
    def lean(self) -> str:
        """How often it is right, beside what its probabilities say."""
        points = 100 * abs(self.excess)
        if points < 0.05:
            return "as often as its probability says"
        way = "less" if self.excess > 0 else "more"
        return f"{points:.1f} points {way} often than its probability says"


def calibration(outcomes: Sequence[Outcome], bins: int = BINS) -> Calibration | None:
    """Return the calibration, or None where not every prediction has a probability."""
    sure = [(o.probability, o.right) for o in outcomes if o.probability is not None]
    if not sure or len(sure) < len(outcomes):
        return None
    members: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for probability, right in sure:
        members[_bin(probability, bins)].append((probability, right))
    found = [_describe(number, bins, inside) for number, inside in enumerate(members)]
    error = sum(b.count * abs(b.accuracy - b.confidence) for b in found) / len(sure)
    excess = sum(probability - right for probability, right in sure) / len(sure)
    return Calibration(found, error, excess)


def _bin(probability: float, bins: int) -> int:
    """Return the bin whose (low, high] holds a probability; 0 belongs to the first."""
    number = max(0, math.ceil(probability * bins) - 1)
    if number and probability <= number / bins:  # rounding above the edge
        number -= 1
    return number


def _describe(number: int, bins: int, inside: Sequence[tuple[float, bool]]) -> Bin:
    count = len(inside)
    return Bin(
        number / bins,
        (number + 1) / bins,
        count,
        sum(probability for probability, _ in inside) / count if count else 0.0,
        sum(right for _, right in inside) / count if count else 0.0,
    )
