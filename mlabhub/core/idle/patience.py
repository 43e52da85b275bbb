"""How long `default` waits for one server before it warns.

Guarantees: without history it is the policy's own window; it is never less than `LEAST_WINDOW_S`, nor more than
`MOST` or less than `LEAST` times the whole wait, grace included. It is fixed for a stretch of idleness when that has
lasted for a while, so that a countdown does not jump.
"""

from __future__ import annotations

from mlabhub.core.idle.fold import Fold
from mlabhub.core.idle.gaps import Gaps
from mlabhub.core.idle.policy import LEAST_WINDOW_S, Policy, Rule
from mlabhub.messages import N_, Message

LEAST, MOST = 0.3, 4.0
GPU_POWER = 0.7
LEAST_WORTH = 0.6
"""However few GPUs a server holds beside others, it is not given longer than by this for that."""
WAITING_POWER = 0.5
ENOUGH = 10

NEVER_ENDED = N_("{never} of {all} pauses this long never ended.")
OFTEN = N_("{count} times it was used again after such a pause, so it is given longer than others.")
SELDOM = N_("It was hardly ever used again after such a pause, so it is given less than others.")
WAITING = N_("{count} wait for a GPU.")
BOTH = N_("{one} {other}")
SAME, DIFFERENT = 1.0, 0.1


class Patient:
    """One server's patience; ``server`` is the name under which its gaps are known."""

    __slots__ = ("gaps", "server")

    def __init__(self, gaps: Gaps, server: str) -> None:
        self.gaps, self.server = gaps, server

    def __call__(self, fold: Fold, gpus: int, policy: Policy, rule: Rule) -> float:
        """Return how many seconds of idleness pass before the server is warned."""
        base = rule.window_s or LEAST_WINDOW_S
        if not gpus or fold.t - fold.idle_since < LEAST_WINDOW_S:
            return base
        memo = fold.memo
        if memo is not None and memo[0] == fold.busy_t:
            return memo[1]
        usual = base + policy.grace_s
        worth: float = max((gpus / self.gaps.mean_gpus(gpus)) ** GPU_POWER, LEAST_WORTH)
        worth *= (1 + self.gaps.waiting) ** WAITING_POWER
        times = min(max(self.gaps.eagerness(self.server) / worth, LEAST), MOST)
        window = max(usual * times - policy.grace_s, LEAST_WINDOW_S)
        fold.memo = (fold.busy_t, window)
        return window

    def harvest(self, fold: Fold, gpus: int) -> None:
        """Learn from the gaps that are over since the last time."""
        if fold.gaps:
            for length in fold.gaps:
                self.gaps.add(self.server, length, gpus, returned=True)
            del fold.gaps[:]

    def ended(self, fold: Fold, gpus: int) -> None:
        """Learn that the server ended by itself while it stood idle."""
        if fold.clean and fold.t > fold.busy_t:
            self.gaps.add(self.server, fold.t - fold.busy_t, gpus, returned=False)

    def ground(self, fold: Fold, now: float) -> Message | None:
        """Return why the window is as long as it is, as far as it was learned."""
        never, count = self.gaps.never(now - fold.idle_since)
        said: Message | None = None
        if count >= ENOUGH:
            said = Message.of(NEVER_ENDED, never=never, all=count)
        eagerness = self.gaps.eagerness(self.server)
        if eagerness > SAME + DIFFERENT:
            said = _both(said, Message.of(OFTEN, count=self.gaps.own_returns(self.server)))
        elif eagerness < SAME - DIFFERENT:
            said = _both(said, Message(SELDOM))
        if self.gaps.waiting:
            said = _both(said, Message.of(WAITING, count=self.gaps.waiting))
        return said


def _both(one: Message | None, other: Message) -> Message:
    return other if one is None else Message.of(BOTH, one=one, other=other)
