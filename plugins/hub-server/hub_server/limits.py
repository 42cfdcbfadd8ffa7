"""How often one caller may call: a count in windows of five minutes, told in ``RateLimit``."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from hub_server.refusal import RefusedError

WINDOW = 300
"""Seconds of a window."""

RATE = 30_000
"""Calls of one caller in a window unless it is said otherwise: a hundred a second, all the time."""


@dataclass
class Rate:
    """Calls of each caller in this window."""

    most: int
    """Calls of one caller in a window; 0 for any number."""

    ends: float = 0
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, who: str) -> None:
        """Count a call.

        Raises:
            RefusedError: It is one too many; it says when to come back.
        """
        now = time.monotonic()
        if now >= self.ends:
            self.ends, self.counts = now + WINDOW, {}
        self.counts[who] = self.counts.get(who, 0) + 1
        if not self.most or self.counts[who] <= self.most:
            return
        wait = math.ceil(self.ends - now)
        raise RefusedError(
            429,
            f"More than {self.most} calls in {WINDOW} seconds: come back in {wait} seconds.",
            "TooManyRequests",
            **{
                "Retry-After": str(wait),
                "RateLimit": f'"api";r=0;t={wait}',
                "RateLimit-Policy": f'"fixed window";"api";q={self.most};w={WINDOW}',
            },
        )
