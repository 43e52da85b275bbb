"""What a site, or a replay, may turn: how patient and how generous the rules are."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """The tunables; times in seconds."""

    max_reclaims: int = 3
    """How often one request is taken back at most; the quotas may say less, not more."""

    back_off_s: float = 900.0
    """How long one waits after it was taken back; twice as long after the second time, and so on."""

    overtake_s: float = 8 * 3600.0
    """How long one that finds no room is overtaken by smaller ones, at least, until a machine is kept free for it."""

    most_claims: float = 0.05
    """The part of the machines that is kept free for those who borrow, at most; one at least."""

    idle_for_large: float = 0.002
    """The part of all GPUs' time that may be idle for a large request, for as long as it has waited."""

    idle_for_owners: float = 0.01
    """The same for an owner for whom nobody may give back enough."""

    ski: float = 3.0
    """An owner waits beyond the notice until that costs so many times what would have been lost at its end, at most."""

    eagerness: float = 0.2
    """Above 1, what is lent is taken back sooner where it might end by itself; below 1, later."""

    better: float = 0.5
    """What others would lose, as a part of what would be lost by whoever was told, for them to be told instead."""

    before_closing_s: float = 1800.0
    """How long before its maintenance a machine gets nothing new."""

    patience_s: float = math.inf
    """How long an owner waits at most, beyond the notice, for others to end; `owner_wait_hours` may be less."""

    reserve_s: float = 300.0
    """Owners who are likely to come back within this time find room: that much is not lent."""

    most_reserve: float = 0.05
    """The part of the GPUs of a type that is not lent, at most."""

    def back_off(self, reclaims: int) -> float:
        """Return how long a request waits that was taken back for the ``reclaims``-th time."""
        return self.back_off_s * 2.0 ** max(0, reclaims - 1)
