"""Trying again: what may pass by itself is asked again, with growing pauses; the rest is told."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hub_core.remote.wording import told

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt."""
LONGEST = 60.0
"""Seconds that a Hub may ask to be left alone; if it asks for more, that is told."""
PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that may pass."""
_CLOSED = "client has been closed"
"""What a thread is told of the client that all share when another one lost its connection."""

Answer = TypeVar("Answer")


def patiently(
    subject: str, ask: Callable[[], Answer], *, pauses: Sequence[float] | None = None
) -> Answer:
    """Return what ``ask`` returns, asking again where the reason may pass.

    Args:
        subject: What is asked about, for the message, such as ``owner/name``.
        ask: May be called several times.
        pauses: Seconds before each further attempt; none for what the client asks again itself.

    Raises:
        RemoteError: It failed for good.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import httpx

    for pause in (*(PAUSES if pauses is None else pauses), None):
        reason: Exception
        try:
            return ask()
        except (HfHubHTTPError, HFValidationError, httpx.HTTPError, OSError, ValueError) as error:
            reason = error
        except RuntimeError as error:
            if _CLOSED not in str(error):
                raise
            reason = httpx.ConnectError("the connection was lost")
        wait = None if pause is None else _wait(reason, pause)
        if wait is None:
            raise told(reason, subject) from None
        time.sleep(wait)
    raise AssertionError("unreachable")  # the last round returns or raises


def _wait(error: Exception, pause: float) -> float | None:
    """Return seconds to wait, or None where another attempt would be in vain."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx

    if isinstance(error, HfHubHTTPError):
        if error.response is None or error.response.status_code not in PASSING:
            return None
        asked = _asked(error.response.headers)
        return None if asked > LONGEST else max(pause, asked)
    if isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol):
        return pause * random.uniform(1, 1.25)
    return None


def _asked(headers: Mapping[str, str]) -> float:
    """Return the seconds that the Hub asks for, 0 if none."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds) + 1
    given = headers.get("retry-after", "").strip()
    return float(given) if given.isdecimal() else 0.0
