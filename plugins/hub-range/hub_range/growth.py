"""When a bound grows: a small machine that is told a metric after each evaluation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Growth:
    """The bound of one task's scores.

    Args:
        value: The bound now.
        best: The bound at which the metric was best.
        score: That metric, None before the first evaluation.
        fruitless: Growths since then.
        frozen: Whether it grows no more.
        history: The bound at every evaluation.
    """

    value: float
    best: float
    score: float | None = None
    fruitless: int = 0
    frozen: bool = False
    history: list[float] = field(default_factory=list)

    def tell(self, score: float, options: Any) -> None:
        """Take a metric measured at this bound, larger being better, and choose the next bound.

        A gain of more than ``tolerance`` makes this bound the best. After ``patience`` growths
        without one the best bound comes back for good.
        """
        self.history.append(self.value)
        if self.frozen:
            return
        if self.score is None or score > self.score + options.tolerance:
            self.score, self.best, self.fruitless = score, self.value, 0
        else:
            self.fruitless += 1
        if self.fruitless >= options.patience:
            self.value, self.frozen = self.best, True
        else:
            self.value = max(self.value, min(self.value * options.growth, options.largest))

    def figures(self) -> dict[str, float]:
        """Return the number of evaluations, and the bound at those where it was another."""
        before = [0.0, *self.history]
        changes = zip(range(1, len(before)), before, self.history, strict=False)
        found = {f"range_at_{number}": new for number, old, new in changes if new != old}
        return {"range_evaluations": float(len(self.history)), **found}

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    def load(self, state: dict[str, Any]) -> None:
        """Take a state back, but keep what is known of later evaluations."""
        known = self.history
        for name, value in state.items():
            setattr(self, name, value)
        self.history = max(known, list(self.history), key=len)
