"""How long something that people were told of has to run still, by a clock that no step of the wall clock moves.

Guarantees: what was told while this process lives runs in full, whatever the wall clock does; what was told before is
over when the wall clock says so and `MARGIN_S` more, and never sooner than what was left of it at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

MARGIN_S = 30.0


class Deadlines:
    """Deadlines by what they are about. ``clock`` is the wall clock, ``monotonic`` counts up steadily."""

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]):
        self._clock = clock
        self._monotonic = monotonic
        self._until: dict[tuple[str, float], float] = {}

    def begin(self, about: str, at: float, length: float) -> None:
        """Note that something was told just now, ``at`` by the wall clock, that is over in ``length`` seconds."""
        self._until[about, at] = self._monotonic() + length

    def left(self, about: str, at: float, deadline: float) -> float:
        """Return how many seconds are left of what was told ``at``; 0 or less when it is over."""
        key = about, at
        if key not in self._until:
            rest = min(max(0.0, deadline - self._clock()), max(0.0, deadline - at))
            self._until[key] = self._monotonic() + rest + MARGIN_S
        return self._until[key] - self._monotonic()

    def keep(self, abouts: Collection[tuple[str, float]]) -> None:
        """Forget all but these."""
        self._until = {key: until for key, until in self._until.items() if key in abouts}
