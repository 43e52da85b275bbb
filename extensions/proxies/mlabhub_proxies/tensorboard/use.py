"""Whether somebody still looks at TensorBoard, for a server that ends by itself when nobody does.

Guarantees: only what a person does counts: opening TensorBoard or the list of folders, changing the list, and the keys,
clicks and movements that our script in their pages reports. What TensorBoard asks for by itself, in a forgotten tab
too, does not. Setting the machine's time changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

WARNING_S = 300.0


class Use:
    """When somebody was last here.

    Parameters
    ----------
    longest_s
        For how long nobody may be here; None: for ever.
    """

    def __init__(self, longest_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.longest_s = longest_s
        self._clock = clock
        self._last = clock()

    def note(self) -> None:
        """Somebody is here."""
        self._last = self._clock()

    @property
    def left_s(self) -> float | None:
        """How long until it ends unless somebody comes; None: it does not."""
        return None if self.longest_s is None else self.longest_s - (self._clock() - self._last)

    @property
    def warns(self) -> bool:
        """Whether to tell those who have it open: in the last five minutes, or the last quarter if that is shorter."""
        left = self.left_s
        return left is not None and left <= min(WARNING_S, (self.longest_s or 0) / 4)


def read_longest(text: str | None) -> float:
    """Return the seconds of ``MLABHUB_UNUSED_SECONDS``, an hour if it says nothing of use."""
    try:
        seconds = float(text or "")
    except ValueError:
        return 3600.0
    return seconds if 0 < seconds < 1e9 else 3600.0
