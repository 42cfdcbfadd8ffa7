"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was looked at.

    Args:
        what: A plugin's name, or a thing of the environment.
        state: ``ok``; ``note`` works, but is worth knowing; ``wrong`` does not work.
        reason: Why, as sentences; or what was found, where all is well.
        details: Figures and names, for programs.
    """

    what: str
    state: State
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)
