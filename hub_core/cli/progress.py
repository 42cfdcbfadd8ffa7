"""What is told while training runs: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from hub_core.cli.output import figures as metrics_line
from hub_core.figures import share

log = logging.getLogger("hub_core.cli")


def sentence(event: str, figures: Mapping[str, Any]) -> str:
    """Return what an event of ``jobs.train`` says to people, or an empty text.

    Args:
        event: The event's name.
        figures: Its figures.
    """
    match event:
        case "data":
            labels = figures["labels"]
            known = f"; labels {', '.join(labels[:8])}{', …' if labels[8:] else ''}"
            sizes = ", ".join(f"{figures[s]:,} {s}" for s in ("train", "validation", "test"))
            return f"{figures['task']}: {sizes}{known if labels else ''}"
        case "start":
            return f"starting from {figures['from']}: {figures['way']}"
        case "resume":
            return f"going on after step {figures['step']} of {figures['steps']}"
        case "plan":
            trained = share(figures["trained"], figures["total"])
            return f"training {trained} parameters in {figures['steps']:,} steps"
        case "epoch":
            return _epoch(figures)
        case "measured":
            return f"trained in {figures['seconds']:.1f} s"
        case "saving":
            proving = ", then loading it in a fresh process and comparing"
            return f"saving to {figures['folder']}{proving if figures['prove'] else ''}"
    return ""


def _epoch(figures: Mapping[str, Any]) -> str:
    stage = "" if figures["stage"] == "train" else f" ({figures['stage']})"
    parts = [f"epoch {figures['epoch']}/{figures['epochs']}{stage}:"]
    if "loss" in figures:
        parts.append(f"loss {figures['loss']:.4f}")
    validation = figures.get("validation", {})
    for task, values in validation.items():
        name = f"{task} " if len(validation) > 1 else ""
        parts.append(f"validation {name}{metrics_line(values)}")
    return "  ".join(parts)


class Lines:
    """Tells a run in plain lines, one for each epoch."""

    def __call__(self, event: str, figures: Mapping[str, Any]) -> None:
        """Tell an event."""
        if text := sentence(event, figures):
            log.info(text)
        elif event == "rows":
            log.debug("%s: %s rows, %s cut", figures["task"], figures["rows"], figures["cut"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class Bar(Lines):
    """Shows steps, loss, rate and the time left under the same lines."""

    def __init__(self, console: Any) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.bar = self.progress.add_task("reading", total=None, figures="")

    def __call__(self, event: str, figures: Mapping[str, Any]) -> None:
        """Tell an event, and move the bar."""
        super().__call__(event, figures)
        if event == "step":
            now = f"loss {figures['loss']:.4f}  rate {figures['rate']:.1e}"
            self._show(figures["stage"], figures["step"], figures["steps"], now)
        elif event == "resume":
            self._show("train", figures["step"], figures["steps"])
        elif event == "plan":
            self.progress.update(self.bar, total=figures["steps"], description="train")
        elif event == "saving":
            self.progress.update(self.bar, description="saving", figures="")

    def _show(self, stage: str, step: int, steps: int, now: str = "") -> None:
        self.progress.update(self.bar, description=stage, completed=step, total=steps, figures=now)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()


def reporter(*, quiet: bool) -> Lines:
    """Return the bar where stderr is a terminal that can redraw a line, else plain lines."""
    if quiet:
        return Lines()
    from rich.console import Console

    console = Console(stderr=True)
    return Bar(console) if console.is_terminal and not console.is_dumb_terminal else Lines()
