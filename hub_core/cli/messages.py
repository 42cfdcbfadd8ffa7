"""Messages on stderr, through ``logging``."""

from __future__ import annotations

import logging
import sys
from typing import Any


class _Handler(logging.StreamHandler[Any]):
    """Writes to whatever ``sys.stderr`` is now: a progress bar puts itself in between."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.title()}: {text}"


def log_to_stderr(*, verbose: bool = False, quiet: bool = False) -> None:
    """Send the core's and the plugins' messages to stderr.

    Args:
        verbose: Also what is only interesting when something goes wrong.
        quiet: Only errors.
    """
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    handler = _Handler()
    handler.setFormatter(_Formatter())
    logging.basicConfig(handlers=[handler], level=logging.ERROR if quiet else logging.WARNING)
    logging.getLogger("hub_core").setLevel(level)
