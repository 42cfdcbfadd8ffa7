"""What a report says of each task: figures with captions, scores of labels, worst mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from hub_report import curves, labels, numbers
from hub_report.gather import Epoch, Evidence, Subject
from hub_report.measures import (
    Calibration,
    Estimate,
    LabelScore,
    Outcome,
    calibration,
    confused,
    estimates_of,
    label_scores,
    labels_in,
    outcomes_of,
)


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure of the report.

    Args:
        stem: Its file's name without the ending.
        title: What it shows.
        caption: How to read it.
        figure: The figure.
    """

    stem: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Section:
    """A task's part of the report; what does not apply to it is empty or None."""

    evidence: Evidence
    outcomes: Sequence[Outcome] = ()
    estimates: Sequence[Estimate] = ()
    calibration: Calibration | None = None
    scores: Sequence[LabelScore] = ()
    confused: Sequence[tuple[str, str, int]] = ()
    charts: Sequence[Chart] = field(default_factory=list)


def learning_charts(subject: Subject) -> list[Chart]:
    """Return the learning curves: the loss, and the validation metrics of each task."""
    history, found = subject.history, []
    if (figure := curves.loss_figure(history)) is not None:
        found.append(Chart("loss", "Training loss", _course(history), figure))
    several = len(subject.manifest.tasks) > 1
    for name in (evidence.task for evidence in subject.evidence):
        if (figure := curves.metrics_figure(history, name)) is not None:
            title = f"Validation of {name}" if several else "Validation"
            caption = "Measured after each epoch on examples that do not train."
            found.append(Chart(f"{name}.validation", title, caption, figure))
    return found


def _course(history: Sequence[Epoch]) -> str:
    best = next((epoch.number for epoch in history if epoch.best), 0)
    kept = f"The model of epoch {best} was kept" if best else "The model of the last epoch was kept"
    reason = ": it did best on validation." if best else ": nothing was validated."
    return f"Mean over the steps of each epoch. {kept}{reason}"


def section_of(evidence: Evidence) -> Section:
    """Return a task's section."""
    outcomes, estimates = outcomes_of(evidence.rows), estimates_of(evidence.rows)
    if outcomes:
        names = labels_in(outcomes, evidence.labels)
        sure = calibration(outcomes)
        return Section(
            evidence,
            outcomes=outcomes,
            calibration=sure,
            scores=label_scores(outcomes, names),
            confused=confused(outcomes),
            charts=list(_label_charts(evidence.task, outcomes, names, sure)),
        )
    if estimates:
        return Section(
            evidence, estimates=estimates, charts=list(_number_charts(evidence.task, estimates))
        )
    return Section(evidence)


def _label_charts(
    task: str, outcomes: Sequence[Outcome], names: Sequence[str], sure: Calibration | None
) -> Iterator[Chart]:
    shown = labels.shown_labels(outcomes, names)
    more = "" if len(shown) == len(names) else (
        f" Shown are the {len(shown)} of {len(names)} labels with the most mistakes."
    )  # fmt: skip
    yield Chart(
        f"{task}.confusion",
        "Confusion",
        "A row for each true label: the stronger the colour, the larger the share of its examples "
        f"that was predicted so. Numbers are counts.{more}",
        labels.confusion_figure(outcomes, shown),
    )
    if sure is not None:
        yield Chart(
            f"{task}.reliability", "Reliability", trust(sure), labels.reliability_figure(sure)
        )


def _number_charts(task: str, estimates: Sequence[Estimate]) -> Iterator[Chart]:
    yield Chart(
        f"{task}.scatter",
        "Predicted and true",
        "On the dashed line a prediction is right.",
        numbers.scatter_figure(estimates),
    )
    mean = sum(e.error for e in estimates) / len(estimates)
    lean = "too high" if mean > 0 else "too low"
    yield Chart(
        f"{task}.residuals",
        "Residuals",
        f"Above the dashed line a prediction is too high. On average they are {abs(mean):.3g} "
        f"{lean}.",
        numbers.residuals_figure(estimates),
    )


def trust(found: Calibration) -> str:
    """Return in words how far the probabilities can be believed."""
    return (
        f"Expected calibration error (ECE) {found.error:.3f} over {len(found.bins)} bins. "
        f"On average it is right {found.lean}."
    )
