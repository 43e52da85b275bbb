"""How long ago something was that is in the ledger, by a clock that no step of the wall clock moves.

Guarantees: what began while this process lives is as old as it is, whatever the wall clock does; what began before is
as old as the wall clock says, less by how much that may have been set ahead unseen, and never of the future.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

About = tuple[str, float]
"""What it is about, and when it was by the wall clock."""


class Elapsed:
    """``clock`` is the wall clock, ``monotonic`` counts up steadily."""

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]):
        self._clock = clock
        self._monotonic = monotonic
        self._from: dict[About, float] = {}

    def begin(self, about: str, at: float) -> None:
        """Note that it was just now, ``at`` by the wall clock."""
        self._from.setdefault((about, at), self._monotonic())

    def since(self, about: str, at: float, unseen_s: float) -> float:
        """Return how many seconds ago it was; less than 0 where that is not certain.

        ``unseen_s`` is by how much the wall clock may go ahead at once so that nobody sees it.
        """
        key = about, at
        if key not in self._from:
            self._from[key] = self._monotonic() - (max(0.0, self._clock() - at) - unseen_s)
        return self._monotonic() - self._from[key]

    def keep(self, abouts: Collection[About]) -> None:
        """Forget all but these."""
        self._from = {key: at for key, at in self._from.items() if key in abouts}
