"""Who let others be told to give back and then did not need it: nobody is told again for them for a while.

Guarantees: the first time it is `FIRST_S`, and twice as long each time, so that one person who queues and leaves
without end troubles others a few times a day; what was told already goes on, and what is free is theirs as before; by a
clock that no step of the wall clock moves. A start of the service forgets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from mlabhub.ledger import Ledger

FIRST_S = 600.0
LONGEST_S = 86400.0
"""How long it is at most, and after how long without another time it begins anew."""
BY_THEIR_PERSON = ("left", "waiting", "started", "claimed")
"""What entries are that their person took back, changed, or let start as something else; none that was refused."""


class Restraint:
    """Counts for each person how often others were told in vain."""

    def __init__(self, ledger: Ledger, monotonic: Callable[[], float]):
        self._ledger = ledger
        self._monotonic = monotonic
        self._times: dict[str, tuple[int, float]] = {}

    async def note(self, launch_ids: Iterable[str]) -> None:
        """Note the entries for which others were told in vain. Raises `LedgerUnavailable`."""
        entries = [await asyncio.to_thread(self._ledger.entry, launch_id) for launch_id in launch_ids]
        now = self._monotonic()
        for user in {one.user for one in entries if one is not None and one.state in BY_THEIR_PERSON}:
            times, _ = self._times.get(user, (0, now))
            self._times[user] = (times + 1, now + min(LONGEST_S, FIRST_S * 2.0**times))

    def people(self) -> frozenset[str]:
        """Return those for whom nobody is told now."""
        now = self._monotonic()
        self._times = {user: one for user, one in self._times.items() if now < one[1] + LONGEST_S}
        return frozenset(user for user, (_, until) in self._times.items() if now < until)
