"""Ctrl-C and SIGTERM while training: the step is finished and saved, then the run stops.

A second signal stops at once.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger("hub_core")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether somebody asked to stop.

    Only the main thread gets signals; elsewhere nothing changes.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        log.warning("stopping after this step; a second signal stops at once")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # a signal that is ignored, such as under nohup, or that somebody else handles, stays so
    ours = [n for n in _SIGNALS if before[n] in (signal.SIG_DFL, signal.default_int_handler)]
    for number in ours:
        signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        for number in ours:
            signal.signal(number, before[number])
