"""Experiment trackers, through accelerate: what training tells goes to one of them as well.

The loop knows nothing of it: ``tracked`` wraps its report. Trackers write to ``OUT.run``, or to
where they are set up to write; they get the recipe without the paths of this machine, and figures,
never data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from hub_core.artifact import public_recipe
from hub_core.errors import RecipeError, TrainingError, near
from hub_core.predictions import run_folder
from hub_core.recipe import Recipe

Report = Callable[[str, Mapping[str, Any]], None]

PROJECT = "hub-core"
PACKAGES = {
    "aim": "aim",
    "clearml": "clearml",
    "comet_ml": "comet-ml",
    "dvclive": "dvclive",
    "mlflow": "mlflow",
    "swanlab": "swanlab",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
}
"""Tracker to the package that pip installs for it."""

log = logging.getLogger("hub_core")


def check(name: str, *, saved: bool = True) -> None:
    """Refuse a tracker that cannot be used, before anything else is done.

    Args:
        name: The tracker; empty for none.
        saved: Whether the run has a folder to write to.

    Raises:
        RecipeError: There is no such tracker.
        TrainingError: Its library is not installed, or it needs a folder and there is none.
    """
    if not name:
        return
    if name not in PACKAGES:
        known = f"there are {', '.join(PACKAGES)}"
        raise RecipeError(
            f"training.tracker: there is no tracker '{name}'",
            hint="; ".join(filter(None, [near(name, PACKAGES), known])),
        )
    if name not in {str(found) for found in get_available_trackers()}:
        raise TrainingError(
            f"the tracker {name} needs a library that is not installed",
            hint=f"pip install {PACKAGES[name]}, or leave training.tracker out",
        )
    if not saved and LOGGER_TYPE_TO_CLASS[name].requires_logging_directory:
        raise TrainingError(
            f"the tracker {name} writes files, and nothing is saved here",
            hint="give out=, or leave training.tracker out",
        )


@contextmanager
def tracked(recipe: Recipe, target: Path | None, report: Report) -> Iterator[Report]:
    """Give a report that tells the recipe's tracker too; it ends with the block.

    Args:
        recipe: Names the tracker, and is what the tracker shows as the run's settings.
        target: The folder of the artifact, or None.
        report: Told everything first.

    Raises:
        TrainingError: The tracker cannot start.
    """
    if not recipe.training.tracker:
        yield report
        return
    tracker = _Tracker(recipe, target)

    def tell(event: str, figures: Mapping[str, Any]) -> None:
        report(event, figures)
        tracker.tell(event, figures)

    try:
        yield tell
    finally:
        tracker.end()


class _Tracker:
    """One run in a tracker, begun when the plan of the training is known."""

    def __init__(self, recipe: Recipe, target: Path | None) -> None:
        self.recipe, self.target = recipe, target
        self.accelerator: Accelerator | None = None
        self.step = 0

    def tell(self, event: str, figures: Mapping[str, Any]) -> None:
        """Pass an event's figures on; what goes wrong there does not stop a running training."""
        if event == "plan":
            self.accelerator = self._start()
        if self.accelerator is None:
            return
        self.step = figures.get("step", self.step)
        if values := values_of(event, figures):
            try:
                self.accelerator.log(values, step=self.step)
            except Exception as error:
                log.warning("the tracker %s stopped working, training goes on: %s",
                            self.recipe.training.tracker, _reason(error))  # fmt: skip
                self.accelerator = None

    def _start(self) -> Accelerator:
        name = self.recipe.training.tracker
        folder = None if self.target is None else str(run_folder(self.target))
        try:
            accelerator = Accelerator(log_with=name, project_dir=folder)
            accelerator.init_trackers(
                PROJECT,
                config=flat(public_recipe(self.recipe)),
                init_kwargs=_named(name, self.target),
            )
        except Exception as error:
            raise TrainingError(
                f"the tracker {name} cannot start: {_reason(error)}",
                hint=f"set {name} up as its documentation says, or leave training.tracker out",
            ) from error
        return accelerator

    def end(self) -> None:
        """Let the tracker write what it holds back."""
        if self.accelerator is not None:
            try:
                self.accelerator.end_training()
            except Exception as error:
                log.warning("the tracker %s did not end well: %s",
                            self.recipe.training.tracker, _reason(error))  # fmt: skip


def _named(name: str, target: Path | None) -> dict[str, Any]:
    """Return what gives the run the artifact's name, for trackers that name runs."""
    key = {"wandb": "name", "mlflow": "run_name", "trackio": "name"}.get(name)
    return {} if key is None or target is None else {name: {key: target.resolve().name}}


def values_of(event: str, figures: Mapping[str, Any]) -> dict[str, float]:
    """Return what a tracker is given for an event, by name; empty for most events."""
    match event:
        case "step":
            return {"train/loss": figures["loss"], "train/rate": figures["rate"]}
        case "epoch":
            values = {"epoch/loss": figures["loss"]} if "loss" in figures else {}
            return values | _by_task("validation", figures.get("validation", {}))
        case "measured":
            served = {
                f"{task}.{split}": found
                for task, splits in figures["metrics"].items()
                for split, found in splits.items()
            }
            return _by_task("served", served)
    return {}


def _by_task(group: str, metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{group}/{t}.{name}": v for t, found in metrics.items() for name, v in found.items()}


def flat(values: Any, key: str = "") -> dict[str, Any]:
    """Return nested settings as one table of dotted keys, as trackers take them."""
    if isinstance(values, Mapping):
        items = [(str(name), value) for name, value in values.items()]
    elif isinstance(values, list) and any(isinstance(item, Mapping) for item in values):
        items = [(str(number), value) for number, value in enumerate(values)]
    elif isinstance(values, list):
        return {key: ", ".join(map(str, values))}
    else:
        return {} if values is None else {key: values}
    below = (flat(value, f"{key}.{name}" if key else name) for name, value in items)
    return {name: value for found in below for name, value in found.items()}


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
