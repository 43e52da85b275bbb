"""A policy as it is applied: what counts as use, how long a server may stand idle, how it is warned, what happens then.

Guarantees: values only; no policy stops a server without a warning and a grace of `LEAST_GRACE_S`, nor sooner than
`LEAST_WINDOW_S` after its GPU was at work, but one that looks at nothing but ``last_activity``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from mlabhub.core.idle.fold import Thresholds

LEAST_WINDOW_S = 600.0
LEAST_GRACE_S = 60.0
MIDDLE = 0.5
"""The aggressiveness at which a policy does what it says."""
LONGEST_WINDOW_S, SHORTEST_WINDOW_S = 24 * 3600.0, LEAST_WINDOW_S
"""How long a policy waits at aggressiveness 0 and at 1."""

USUAL = Thresholds()

Action = Literal["stop", "release-gpu", "nothing"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How long a server may stand idle, and what counts as use.

    ``window_s`` is None for a kind of server that is never stopped. What nobody can check, a server's own word and its
    processors while its GPUs do nothing, holds it for ``held_s`` and then for ``held_most_s`` at most, counted from
    when it was last seen at work.
    """

    thresholds: Thresholds = USUAL
    window_s: float | None = 75 * 60.0
    held_s: float = 1800.0
    held_most_s: float = 3 * 3600.0
    activity_holds: bool = False


USUAL_RULE = Rule()


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it. ``quiet`` are minutes of the local day, from and until; who is due then waits.

    ``reminders_s`` are how long before the deadline further warnings come. ``fresh_s`` is how old the last sample may
    be when a server is stopped.
    """

    name: str = "default"
    with_gpu: Rule = USUAL_RULE
    without_gpu: Rule = USUAL_RULE
    grace_s: float = 900.0
    reminders_s: tuple[float, ...] = ()
    quiet: tuple[tuple[int, int], ...] = ()
    longest_s: float | None = None
    action: Action = "stop"
    dry_run: bool = False
    fresh_s: float = 150.0
    keep_most_s: float = 2 * 3600.0
    keep_times: int = 3
    learns: bool = False
    aggressiveness: float = MIDDLE

    def rule(self, gpus: int) -> Rule:
        """Return what holds for a server with so many GPUs."""
        return self.with_gpu if gpus else self.without_gpu

    def at(self, aggressiveness: float) -> Policy:
        """Return the policy more or less eager: 0.5 leaves it as it is, 0 waits a day, 1 the least that is allowed."""
        return replace(
            self,
            aggressiveness=aggressiveness,
            with_gpu=_scaled(self.with_gpu, aggressiveness),
            without_gpu=_scaled(self.without_gpu, aggressiveness),
        )


def _scaled(rule: Rule, aggressiveness: float) -> Rule:
    if rule.window_s is None or aggressiveness == MIDDLE:
        return rule
    end = max(LONGEST_WINDOW_S, rule.window_s) if aggressiveness < MIDDLE else min(SHORTEST_WINDOW_S, rule.window_s)
    way = abs(aggressiveness - MIDDLE) / MIDDLE
    window = math.exp(math.log(rule.window_s) * (1 - way) + math.log(end) * way)
    return replace(rule, window_s=window, held_s=min(rule.held_s, window))


def is_within(hours: tuple[int, int], minute: int) -> bool:
    """Whether a minute of the day lies between two others, over midnight if the second is the smaller one."""
    begin, end = hours
    return begin <= minute < end if begin < end else minute >= begin or minute < end
